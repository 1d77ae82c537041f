"""What every baseline that is trained by steps is told, and how that becomes the settings of a run."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import torch

from brenier.errors import DataError
from brenier.training import MakeOptimiser, Settings

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
}
WEIGHTS = ("last", "average", "selected")
COORDINATES = ("data", "common", "standard")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedSettings:
    """What every baseline that is trained by steps is told; a method adds fields of its own.

    Attributes:
        batch_size: rows of either side per step.
        learning_rate: of the optimiser.
        optimiser: "Adam", "AdamW" or "RMSprop".
        betas: of Adam and AdamW.
        weight_decay: of the optimiser.
        final_rate: share of the learning rate that is left at the end of a cosine; 1 keeps the rate constant.
        max_steps: steps of the optimiser where the user gives neither steps nor seconds. Where two networks are trained
            in turn a step is one of either.
        weights: those of the fitted map: the "last", their "average" over about the last ninth of the steps, or those
            "selected" by the held-out value, which is no truth.
        ema_decay: largest decay of the average.
        coordinates: of the networks: those of the "data" as published methods have them; "common", both sides centred
            and all features divided by one number, so that units do not matter and the optimal map stays the same; or
            "standard", every feature with mean zero and variance one, for methods that know no transport cost.
        clip: largest gradient norm, or None.
        max_rollbacks: times training may lose its way (a loss that is not finite), go back and halve its rate.
        patience: evaluations without a better held-out value after which training stops, or None: it does not.
        evaluate_every: steps between two evaluations.
    """

    batch_size: int = 512
    learning_rate: float = 1e-3
    optimiser: str = "Adam"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    final_rate: float = 0.02
    max_steps: int = 5000
    weights: str = "last"
    ema_decay: float = 0.999
    coordinates: str = "common"
    clip: float | None = None
    max_rollbacks: int = 6
    patience: int | None = None
    evaluate_every: int = 200

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        for name, known in (
            ("optimiser", tuple(OPTIMISERS)),
            ("weights", WEIGHTS),
            ("coordinates", COORDINATES),
        ):
            if getattr(self, name) not in known:
                raise _setting_error(
                    name, f"must be one of {known}", getattr(self, name)
                )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or isinstance(value, str | bool | tuple | list):
                continue
            if not (isinstance(value, int | float) and math.isfinite(value)):
                raise _setting_error(field.name, "must be a finite number", value)
        for name in ("batch_size", "max_steps", "evaluate_every", "max_rollbacks"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise _setting_error(name, "must be a whole number above zero", value)
        if not self.learning_rate > 0:
            raise _setting_error(
                "learning_rate", "must be positive", self.learning_rate
            )

    def training(self, max_steps: float | None, max_time: float | None) -> Settings:
        """Return the settings of a run of so many steps and seconds."""
        if max_steps is None:
            max_steps = self.max_steps if max_time is None else math.inf
        patience = math.inf if self.patience is None else self.patience
        return Settings(
            max_steps=max_steps,
            max_time=max_time,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.make_optimiser(),
            schedule=functools.partial(falling_rate, self.final_rate),
            clip=math.inf if self.clip is None else self.clip,
            ema_decay=self.ema_decay,
            evaluate_every=self.evaluate_every,
            patience=patience,
            max_rollbacks=self.max_rollbacks,
        )

    def make_optimiser(self) -> MakeOptimiser:
        """Return the function that makes the optimiser."""
        told = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimiser != "RMSprop":
            told["betas"] = self.betas  # type: ignore[assignment]
        return functools.partial(OPTIMISERS[self.optimiser], **told)


def falling_rate(final: float, progress: float) -> float:
    """Return the factor on the learning rate: half a cosine from 1 to its final share."""
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return final + (1 - final) * fall


def _setting_error(name: str, rule: str, value: object) -> DataError:
    return DataError(
        f"settings: {name} {rule}, got {value!r}; change it by dataclasses.replace",
        argument="settings",
    )
