"""LS: regularised duals, and the barycentric maps of their plans.

Stage 1 trains two potentials by the dual of `plan_density`; the map read off is the gradient of either. Stage 2, which
benchmarks leave out, keeps them fixed and trains the barycentric map of either direction.

"Large-Scale Optimal Transport and Mapping Estimation" (Seguy et al., 2018).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from brenier.baselines.learned_settings import (
    LearnedSettings,
    falling_rate,
    wrong_setting,
)
from brenier.baselines.model import MapModel
from brenier.baselines.networks import Perceptron
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.plan_density import (
    PENALTIES,
    Penalty,
    barycentric_loss,
    slacks,
)
from brenier.baselines.potential_pair import PotentialPair, PotentialPairBaseline
from brenier.training import Evaluation, Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegularisedSettings(LearnedSettings):
    """How potentials are trained by a regularised dual, and then barycentric maps.

    Attributes:
        pairs: which pairs of a batch are penalised: the "diagonal", n independent ones, or "all" n^2.
        penalty: "quadratic" or "entropic".
        epsilon: strength of the regularisation, in squared units of the coordinates.
        barycentric: whether there is a second stage, which trains maps.
        dual_share: of the budget, that the first stage gets where there is a second.
        map_rate: learning rate of the second stage.
        map_units: units of each hidden layer of the maps.
    """

    pairs: str = "diagonal"
    penalty: str = "quadratic"
    epsilon: float = 0.03
    barycentric: bool = False
    dual_share: float = 0.5
    map_rate: float = 1e-3
    map_units: tuple[int, ...] = (128, 128)

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        for name, known in (("pairs", ("diagonal", "all")), ("penalty", PENALTIES)):
            if getattr(self, name) not in known:
                raise wrong_setting(
                    name, f"must be one of {known}", getattr(self, name)
                )
        for name in ("epsilon", "map_rate", *(("dual_share",) * self.barycentric)):
            if not getattr(self, name) > 0:
                raise wrong_setting(name, "must be positive", getattr(self, name))
        if not self.dual_share < 1:
            raise wrong_setting("dual_share", "must be below one", self.dual_share)
        whole = all(isinstance(n, int) and n > 0 for n in self.map_units)
        if not (self.map_units and whole):
            raise wrong_setting("map_units", "must be whole numbers", self.map_units)
        if self.barycentric and self.patience is not None:
            raise wrong_setting(
                "patience",
                "must be None with barycentric=True, whose maps are not trained at first",
                self.patience,
            )

    def training(self, max_steps: float | None, max_time: float | None) -> Settings:
        """Return the settings of a run: where there are two stages, the rate falls in each of them."""
        found = super().training(max_steps, max_time)
        if not self.barycentric:
            return found
        told = self.final_rate, self.dual_share, self.map_rate / self.learning_rate
        schedule = functools.partial(staged_rate, *told)
        return dataclasses.replace(found, schedule=schedule)


def staged_rate(final: float, share: float, second: float, progress: float) -> float:
    """Return the factor on the learning rate of a run in two stages, half a cosine in either.

    Args:
        final: share of the rate that is left at the end of a stage.
        share: of the budget, that the first stage gets.
        second: the rate that the second starts with, as a share of the first's.
        progress: share of the budget that is used up.
    """
    if progress < share:
        return falling_rate(final, progress / share)
    return second * falling_rate(final, (progress - share) / (1 - share))


class RegularisedPair(PotentialPair):
    """Two potentials, and the barycentric maps of both directions where there are any.

    Args:
        dim: d.
        map_units: units of each hidden layer of the maps, which add to their argument; none for no maps.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        map_units: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(dim, generator=generator)
        self.map_units = tuple(map_units)
        sizes = (dim, *self.map_units, dim)
        made = range(2 if self.map_units else 0)
        self.moves = nn.ModuleList(
            [Perceptron(sizes, generator=generator) for _ in made]
        )

    def moved(self, x: Tensor) -> Tensor:
        """Return the barycentric map of x, or else grad psi(x): (n, d) -> (n, d)."""
        return x + self.moves[0](x) if self.map_units else super().moved(x)

    def returned(self, z: Tensor) -> Tensor:
        """Return the barycentric map of z, or else grad chi(z): (n, d) -> (n, d)."""
        return z + self.moves[1](z) if self.map_units else super().returned(z)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim, "map_units": list(self.map_units)}


class RegularisedTask(PairTask):
    """The regularised dual, and in a second stage the barycentric maps of its plan.

    Args:
        model: both potentials, and the maps.
        sides, generator: as for every task.
        settings: the penalty and the stages.
    """

    model: RegularisedPair

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: RegularisedSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings
        self.penalty = Penalty(settings.penalty, settings.epsilon)

    @property
    def maps_are_trained(self) -> bool:
        """Whether the run is in its second stage."""
        told = self.settings
        return told.barycentric and self.progress >= told.dual_share

    def loss(self, rows: int) -> Tensor:
        """Return the loss of the stage."""
        x, y = self.draw_source(rows), self.draw_target(rows)
        return self.by_plan(x, y) if self.maps_are_trained else self.dual(x, y)

    def dual(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the regularised dual on rows (n, d), (n, d) of either side."""
        u, v = self.model.ahead(x), self.model.back(y)
        s = (
            slacks(x, y, u, v)
            if self.settings.pairs == "all"
            else torch.linalg.vecdot(x, y) - u - v
        )
        return u.mean() + v.mean() + self.penalty(s).mean()

    def by_plan(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of both barycentric maps on all pairs of rows (n, d), (m, d) of either side."""
        with torch.no_grad():
            s = slacks(x, y, self.model.ahead(x), self.model.back(y))
            density = self.penalty.density(s)
        ahead = barycentric_loss(density, self.model.moved(x), y)
        return ahead + barycentric_loss(density.mT, self.model.returned(y), x)

    @torch.no_grad()
    def evaluate(self, model: MapModel) -> Evaluation:
        """Return the energy distance; of maps that are not trained yet it is not to be trusted."""
        found = super().evaluate(model)
        waiting = self.settings.barycentric and not self.maps_are_trained
        return found._replace(trusted=found.trusted and not waiting)

    def pushed(self, model: MapModel, x: Tensor) -> Tensor:
        """Return the forward map of the stage: (n, d) -> (n, d)."""
        if isinstance(model, PotentialPair) and not self.maps_are_trained:
            return model.ahead.gradient(x)
        return model.moved(x)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps taken and the progress, which says the stage."""
        return {**super().state_dict(), "progress": self.progress}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up the number of steps taken and the stage."""
        super().load_state_dict(state)
        self.progress = float(state["progress"])


# The notebooks of "Do Neural Optimal Transport Solvers Work?" (Korotin et al., 2021).
PUBLISHED_LS = RegularisedSettings(
    batch_size=1024,
    final_rate=1.0,
    max_steps=100_000,
    coordinates="data",
    max_rollbacks=1,
    evaluate_every=1000,
)


class LS(PotentialPairBaseline[RegularisedSettings]):
    """A regularised dual in two potentials, its map read off as a gradient: what benchmarks call LS.

    "Large-Scale Optimal Transport and Mapping Estimation" (Seguy et al., 2018), the first of its two stages, with the
    quadratic penalty on independent pairs of rows. The optimum of a regularised dual is no Brenier potential, so that
    the map is biased, the more so the more features there are; training longer makes that worse, not better. The
    inverse map is the gradient of the other potential.

    >>> import numpy as np
    >>> from brenier.baselines import LS
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> LS(max_steps=50, random_state=0).fit(X, Y).transform(X).shape
    (500, 2)
    """

    model_class = RegularisedPair
    presets: ClassVar[Mapping[str, Any]] = {
        "published": PUBLISHED_LS,
        "fair": RegularisedSettings(batch_size=1024),
    }

    def model(self, dim: int, generator: torch.Generator) -> RegularisedPair:
        """Return the untrained potentials and maps."""
        told = self.chosen_settings()
        units = told.map_units if told.barycentric else ()
        return RegularisedPair(dim, map_units=units, generator=generator)

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> RegularisedTask:
        """Return the task that trains the potentials, and then the maps."""
        return RegularisedTask(model, sides, generator, self.chosen_settings())


class LSAllPairs(LS):
    """LS with the penalty on all pairs of a batch, as its authors have it, still without barycentric maps.

    "Large-Scale Optimal Transport and Mapping Estimation" (Seguy et al., 2018). Its "published" settings are those of
    the benchmark with 256 rows, of which there are 65,536 pairs; no table of it has been published.
    """

    presets: ClassVar[Mapping[str, Any]] = {
        "published": dataclasses.replace(PUBLISHED_LS, pairs="all", batch_size=256),
        "fair": RegularisedSettings(pairs="all", batch_size=256),
    }


class LSBarycentric(LS):
    """LS in full: after the regularised dual, networks learn the barycentric map of its plan, both ways.

    "Large-Scale Optimal Transport and Mapping Estimation" (Seguy et al., 2018), both stages in one run. The barycentric
    map pulls towards the mean what a regularised plan blurs; rows that no pair of a batch gives mass to learn nothing,
    which with many features are most. Its "published" settings are the benchmark's for the potentials, and those of a
    public port for the maps, since the authors' own code is not known; how wide these are is not known either.
    """

    presets: ClassVar[Mapping[str, Any]] = {
        "published": dataclasses.replace(
            PUBLISHED_LS,
            pairs="all",
            batch_size=512,
            epsilon=0.01,
            barycentric=True,
            map_rate=5e-3,
        ),
        "fair": RegularisedSettings(pairs="all", barycentric=True),
    }
