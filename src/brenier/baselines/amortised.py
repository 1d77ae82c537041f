"""W2OT: one potential, whose conjugate is solved for from where a network predicts the solution ("amortised").

    loss of D:  mean D(x) + mean [ <zh, y> - D(zh) ],   zh = argmax over z of <z, y> - D(z), solved from H(y)
    loss of H:  mean [ D(H(y)) - <H(y), y> ]  (objective),  or the mean of (H(y) - zh)^2 over all numbers  (regression)

"On amortizing convex conjugates for optimal transport" (Amos, 2023).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.amortised_model import (
    POTENTIAL_KINDS,
    START_KINDS,
    AmortisedPair,
    Shape,
)
from brenier.baselines.conjugate import solve_conjugate
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import frozen
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.setting_checks import (
    require_between,
    require_real,
    require_whole,
    require_widths,
    require_word,
)
from brenier.training import Loss

AMORTISATIONS = ("objective", "regression")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AmortisedSettings(LearnedSettings):
    """How a potential is trained, and its conjugate solved.

    Attributes:
        potential: "elu", layers of ELU with one on the output and a quadratic with a learnt factor; "plain", the same
            with neither (a fixed quadratic); or "convex", the dense network with clamped weights.
        start: of the conjugate: "map", y plus a network, or "gradient", that of a second potential.
        widths: units of all layers, or None: 2 s, 2 s and s with s = max(d, 32).
        amortisation: what the start learns from, "objective" or "regression".
        solves: whether the conjugate is solved for; else its start is taken for it, which diverges in many features.
        residual: largest number of the gradient at which a solve ends; it depends on the units of the coordinates.
        solve_steps: of a solve at most.
        skip_fraction: share of the rows that may be left unsolved.
        answer_residual, answer_steps: the same two for the inverse map; the former times one plus the largest number
            of a row.
        pretraining_steps: of Adam at most, which bring both maps to the identity on the bounding box of the data.
        pretraining_least: steps it takes at least.
        pretraining_error: mean squared error per number at which it ends.
        largest_loss: beyond which a step is not taken.
    """

    potential: str = "elu"
    start: str = "map"
    widths: tuple[int, ...] | None = None
    amortisation: str = "objective"
    solves: bool = True
    residual: float = 0.1
    solve_steps: int = 100
    skip_fraction: float = 0.0
    answer_residual: float = 1e-4
    answer_steps: int = 300
    pretraining_steps: int = 300
    pretraining_least: int = 0
    pretraining_error: float = 1e-3
    largest_loss: float = 1e5

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        require_word("potential", self.potential, POTENTIAL_KINDS)
        require_word("start", self.start, START_KINDS)
        require_word("amortisation", self.amortisation, AMORTISATIONS)
        if self.widths is not None:
            require_widths("widths", self.widths)
        for name in ("solve_steps", "answer_steps"):
            require_whole(name, getattr(self, name))
        for name in ("pretraining_steps", "pretraining_least"):
            require_whole(name, getattr(self, name), least=0)
        require_between("skip_fraction", self.skip_fraction, 0.0, 1.0)
        for name in ("residual", "answer_residual", "largest_loss"):
            require_real(name, getattr(self, name), above_zero=True)
        enough = self.pretraining_error
        require_real("pretraining_error", enough, above_zero=False)

    def shape(self, dim: int) -> Shape:
        """Return what the networks look like for d features."""
        s = max(dim, 32)
        widths = (2 * s, 2 * s, s) if self.widths is None else self.widths
        return Shape(self.potential, self.start, tuple(widths))


class AmortisedTask(PairTask):
    """The potential and the start of its conjugate, both at every step.

    Args:
        model: both.
        sides, generator: as for every task.
        settings: how.

    Attributes:
        unsolved: the share of the rows of the last step whose conjugate was not solved to the tolerance.
    """

    averages: Sequence[str] = ("train_loss", "unsolved")
    model: AmortisedPair

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: AmortisedSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings
        self.unsolved = 0.0

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the loss of one step; one beyond the bound is a fault."""
        for found in super().losses(rows, rate):
            size = abs(found.records[0]["train_loss"])
            fault = found.fault
            if not fault and size > self.settings.largest_loss:
                fault = "the loss is beyond its bound"
            record = {**found.records[0], "unsolved": self.unsolved}
            yield Loss(found.value, [record], fault)

    def loss(self, rows: int) -> Tensor:
        """Return the sum of both losses: a scalar."""
        potential = self.model.potential
        x, y = self.draw_source(rows), self.draw_target(rows)
        start = self.model.started(y)
        point = self._solved(y, start)
        value = potential(x).mean() - potential(point).mean()
        value = value + torch.linalg.vecdot(point, y).mean()
        if self.settings.amortisation == "regression":
            return value + (start - point).square().mean()
        with frozen(potential):
            amortised = potential(start) - torch.linalg.vecdot(start, y)
        return value + amortised.mean()

    def _solved(self, y: Tensor, start: Tensor) -> Tensor:
        """Return the points at which the conjugate is reached, without gradient: (n, d)."""
        if not self.settings.solves:
            return start.detach()
        solution = solve_conjugate(
            self.model.potential,
            y,
            start,
            tol=self.settings.residual,
            max_steps=self.settings.solve_steps,
            skip_fraction=self.settings.skip_fraction,
        )
        self.unsolved = solution.unconverged / len(y)
        return solution.point


# The public code for its benchmark in up to 256 features; the decay of its weights is the default of its optimiser.
PUBLISHED_W2OT = AmortisedSettings(
    batch_size=1024,
    learning_rate=5e-4,
    optimiser="AdamW",
    betas=(0.5, 0.5),
    weight_decay=1e-4,
    final_rate=1e-4,
    max_steps=250_001,
    coordinates="data",
    max_rollbacks=1,
    evaluate_every=1000,
    pretraining_steps=10_001,
    pretraining_least=1000,
    pretraining_error=1e-6,
)


class W2OT(LearnedBaseline[AmortisedSettings]):
    """The dual of one potential, with an exact conjugate that a network starts.

    "On amortizing convex conjugates for optimal transport" (Amos, 2023), and its public code, w2ot. The forward map is
    the gradient of the potential, which need not be convex, and the inverse solves for its conjugate: rows whose solve
    does not converge are counted in a `ConvergenceWarning`. Every step of training solves for a whole batch, so that
    there are few steps.

    >>> import numpy as np
    >>> from brenier.baselines import W2OT
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> W2OT(max_steps=20, random_state=0).fit(X, Y).transform(X).shape
    (500, 2)
    """

    model_class = AmortisedPair
    presets: ClassVar[Mapping[str, Any]] = {
        "published": PUBLISHED_W2OT,
        # Of two rates and two betas the best by the energy distance of moved rows, on pairs of no table.
        "fair": AmortisedSettings(learning_rate=3e-3),
    }

    def model(self, dim: int, generator: torch.Generator) -> AmortisedPair:
        """Return the untrained networks."""
        settings = self.chosen_settings()
        return AmortisedPair(
            dim,
            **settings.shape(dim)._asdict(),
            residual=settings.answer_residual,
            steps=settings.answer_steps,
            generator=generator,
        )

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Bring both maps to the identity on the bounding box of the data."""
        settings = self.chosen_settings()
        if isinstance(model, AmortisedPair):
            model.constrain()
            model.start_on_box(
                sides,
                generator,
                most=settings.pretraining_steps,
                least=settings.pretraining_least,
                enough=settings.pretraining_error,
            )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> AmortisedTask:
        """Return the task that trains the networks."""
        return AmortisedTask(model, sides, generator, self.chosen_settings())
