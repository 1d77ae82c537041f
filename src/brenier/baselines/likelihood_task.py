"""The training of a normalising flow: the likelihood of the data, and what the way to the normal law costs.

The value that is looked at from outside is minus the mean log density of held-out rows, exactly, in the coordinates.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from brenier.baselines.density_model import DensityModel, Passage
from brenier.baselines.learned_settings import LearnedSettings, falling_rate
from brenier.baselines.model import MapModel
from brenier.baselines.ode import Solver
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.setting_checks import require
from brenier.training import Evaluation, Loss, Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodSettings(LearnedSettings):
    """How a normalising flow is trained and solved; a method adds its network and what the way costs.

    Attributes:
        steps: equal steps of Runge-Kutta's fourth order over every stage, in training.
        rtol, atol: relative and absolute error of adaptive steps in training, where `rtol` is not None.
        map_steps, map_rtol, map_atol: the same, of maps and densities once trained and on held-out rows.
        warm_up: share of the budget over which the rate rises from zero.
        epochs: times that training may draw the data before held-out values are compared by the least alone.
    """

    coordinates: str = "standard"
    weights: str = "selected"
    steps: int = 8
    rtol: float | None = None
    atol: float = 1e-8
    map_steps: int = 16
    map_rtol: float | None = None
    map_atol: float = 1e-8
    warm_up: float = 0.0
    epochs: float = 5.0

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        fine = self.coordinates == "standard"
        rule = "must be 'standard' for a normalising flow, whose source is N(0, I)"
        self.require("coordinates", fine, rule)
        for name in ("steps", "map_steps"):
            self.require(name, getattr(self, name) >= 1, "must be 1 or more")
        for name in ("rtol", "atol", "map_rtol", "map_atol"):
            value = getattr(self, name)
            self.require(name, value is None or value > 0, "must be positive")
        self.require("warm_up", 0 <= self.warm_up < 1, "must lie from 0 to below 1")

    def require(self, name: str, fine: bool, rule: str) -> None:
        """Raise a DataError where a field does not keep to a rule."""
        require(name, getattr(self, name), rule, met=fine)

    def solver(self) -> Solver:
        """Return how equations are solved in training."""
        return Solver(self.steps, self.rtol, self.atol, adjoint=True)

    def map_solver(self) -> Solver:
        """Return how equations are solved once trained."""
        return Solver(self.map_steps, self.map_rtol, self.map_atol)

    def training(self, max_steps: float | None, max_time: float | None) -> Settings:
        """Return the settings of a run of so many steps and seconds."""
        schedule = functools.partial(warmed_rate, self.final_rate, self.warm_up)
        made = super().training(max_steps, max_time)
        return dataclasses.replace(made, schedule=schedule)

    def estimates(self, dim: int) -> bool:
        """Say whether training estimates divergences by random vectors."""
        raise NotImplementedError

    def has_costs(self) -> bool:
        """Say whether the way costs something."""
        raise NotImplementedError

    def objective(self, passage: Passage) -> Tensor:
        """Return what training lowers, of a batch: a scalar."""
        raise NotImplementedError


def warmed_rate(final: float, warm_up: float, progress: float) -> float:
    """Return the factor on the learning rate: a straight rise over the first share, and half a cosine."""
    rise = 1.0 if progress >= warm_up else max(progress / warm_up, final)
    return rise * falling_rate(final, progress)


class LikelihoodTask(PairTask):
    """Maximum likelihood of the target; the source, a normal law, is known and not drawn.

    Args:
        model: the flow, trained in place.
        sides, generator: as for every task.
        settings: how.
    """

    model: DensityModel
    averages = ("train_loss", "train_nll", "evaluations")  # type: ignore[assignment]

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: LikelihoodSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the loss of one step."""
        passage = self.passage(rows)
        value = self.settings.objective(passage)
        self.taken += 1
        record = {
            "train_loss": float(value.detach()),
            "train_nll": float(passage.nll().detach().mean()),
            "evaluations": float(passage.evaluations),
        }
        fault = ""
        if not math.isfinite(record["train_loss"]):
            fault = "the loss is not finite"
        elif self.settings.rtol is not None:
            value, fault = differentiated(value, list(self.model.parameters()))
        yield Loss(value, [record], fault)

    def passage(self, rows: int) -> Passage:
        """Return how some drawn rows go to the normal law, as training sees it."""
        z = self.draw_target(rows)
        probe = None
        if self.settings.estimates(self.model.dim):
            probe = self.normal(*z.shape)
        costs = self.settings.has_costs()
        return self.model.passage(z, self.settings.solver(), probe, costs)

    @torch.no_grad()
    def evaluate(self, model: MapModel) -> Evaluation:
        """Return minus the mean log density of the target rows held out, in the coordinates."""
        terms = -self.model_of(model).log_density(self.sides.held_out[1]).double()
        value = float(terms.mean())
        drawn = self.taken * self.settings.batch_size
        fresh = drawn <= self.settings.epochs * self.sides.sizes[1]
        finite = math.isfinite(value)
        return Evaluation(value, (terms,), {"nll": value}, finite, fresh)

    @staticmethod
    def model_of(model: MapModel) -> DensityModel:
        """Return a model as a flow, which it is."""
        if not isinstance(model, DensityModel):
            raise TypeError(f"{type(model).__name__} has no density")
        return model


def differentiated(
    value: Tensor, parameters: Sequence[nn.Parameter]
) -> tuple[Tensor, str]:
    """Return a scalar with the same value and gradient, differentiated now, and why that failed, if it did.

    Adjoint equations are solved while differentiating, and may get nowhere like any other.
    """
    wanted = [part for part in parameters if part.requires_grad]
    try:
        slopes = torch.autograd.grad(value, wanted, allow_unused=True)
    except AssertionError as error:
        return value, f"the adjoint equation was not solved ({error})"
    same = value.detach()
    for part, slope in zip(wanted, slopes, strict=True):
        if slope is not None:
            same = same + ((part - part.detach()) * slope).sum()
    return same, ""
