"""What estimators of normalising flows share: the normal source, densities in the units of the data, published sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brenier.baselines.density_model import DensityModel
from brenier.baselines.fitting import FitOptions
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.likelihood_task import LikelihoodSettings, LikelihoodTask
from brenier.baselines.model import MapFrame, MapModel
from brenier.baselines.pair_task import PairSides
from brenier.datasets import Population, TableLike
from brenier.errors import DataWarning, warn
from brenier.estimators import validation
from brenier.potentials import usual_modes
from brenier.statistics import TwoSampleSettings, two_sample_score
from brenier.training import Clock, Progress

DensityKind = TypeVar("DensityKind", bound=LikelihoodSettings)


@dataclasses.dataclass(frozen=True)
class NormalitySettings:
    """When the source is evidently not the normal law that a flow maps from.

    Attributes:
        permutations, compared_rows: of the two-sample test of source rows against normal ones.
        evident: normal score above which it is: two in 400. Both samples have the same moments of every
            feature, so that normal sources score far less often so high.
        checked_rows: target rows by which the round trip is judged.
    """

    permutations: int = 399
    compared_rows: int = 1500
    evident: float = 2.5
    checked_rows: int = 256


NORMALITY = NormalitySettings()


@dataclasses.dataclass(frozen=True)
class PublishedSet:
    """What a paper used for one data set.

    Attributes:
        dim: features of the set.
        settings: those of the paper.
    """

    dim: int
    settings: LikelihoodSettings


class NormalisingFlow(LearnedBaseline[DensityKind]):
    """A map from a normal law to data, learnt from the data alone, with a density.

    Of X it takes the mean and the deviation of every feature: the map is that of the normal law which has these, and
    uncorrelated features. Data that are evidently of another law get a DataWarning.
    """

    published_sets: ClassVar[Mapping[str, PublishedSet]]

    @classmethod
    def published_for(cls, name: str) -> DensityKind:
        """Return the published settings for "power", "gas", "hepmass", "miniboone" or "bsds300".

        Raises:
            DataError: for another name.
        """
        validation.check_choice("name", name, tuple(cls.published_sets))
        found: DensityKind = cls.published_sets[name].settings  # type: ignore[assignment]
        return found

    def settings_for(self, dim: int) -> DensityKind:
        """Return the settings for d features: "published" are those of the set whose d is nearest, by ratio."""
        if self.settings != "published":
            return self.chosen_settings()

        def distance(known: PublishedSet) -> float:
            return max(known.dim, dim) / min(known.dim, dim)

        nearest = min(self.published_sets.values(), key=distance)
        found: DensityKind = nearest.settings  # type: ignore[assignment]
        return found

    def log_density(self, Z: TableLike) -> Any:
        """Return the log density of target rows under the flow, in the units of the data: (n, d) -> (n,).

        The divergences on the way are exact. It integrates to one over the units of Y: a change of these by a factor c
        takes log c from it for every feature.

        Args:
            Z: (n, d), rows like those of Y.

        Raises:
            DataError: for samples that do not fit those of `fit`.
        """
        check_is_fitted(self, "map_")
        return self._applied(Z, "Z", self._log_density)

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Say where the source is no normal law, and where the target has no density."""
        fixed = (sides.known[1].std(0) == 0).nonzero().flatten().tolist()
        if fixed:
            warn(
                f"Y: column {', '.join(map(str, fixed))} does not vary, so that Y has no density: likelihoods grow "
                "with every step and mean nothing. Leave such columns out",
                DataWarning,
            )
        score = score_against_normal(sides.known[0], generator)
        if score > NORMALITY.evident:
            warn(
                f"X: is no normal law of uncorrelated features (a two-sample test finds {score:.1f} standard errors); "
                f"{type(self).__name__} maps N(0, I), in units of its own, to the law of Y, not the law of X. Take "
                "normal rows for X, or another method",
                DataWarning,
            )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> LikelihoodTask:
        """Return the task that trains the flow."""
        self._checked_rows = sides.held_out[1][: NORMALITY.checked_rows]
        settings = self.settings_for(model.dim)
        return LikelihoodTask(model, sides, generator, settings)

    def conclude(self) -> None:
        """Say what the density, the round trip and an evaluation of the map are."""
        rows = self.__dict__.pop("_checked_rows")
        with usual_modes(gradients=False):
            self.diagnostics_.update(self._found(rows))

    def _found(self, rows: Tensor) -> dict[str, float]:
        """Return what is known of the map by held-out target rows (n, d) in the coordinates."""
        flow = self._flow()
        rows = rows.to(self.map_.dtype)
        away = flow.moved(flow.returned(rows)) - rows
        size = rows.square().mean().sqrt()
        unit = float(self.map_.frame.target_scale.log().sum())
        return {
            "nll": self.history_[-1]["nll"] + unit,
            "round_trip": float(away.square().mean().sqrt() / size),
            "evaluations": flow.evaluations_of_map(rows),
        }

    def _flow(self) -> DensityModel:
        return LikelihoodTask.model_of(self.map_.model)

    def _log_density(self, z: Tensor) -> Tensor:
        """Return the log density of rows (n, d), float64, in units of the data: (n,)."""
        frame = self.map_.frame
        rows = frame.from_target(z).to(self.map_.dtype)
        return self._flow().log_density(rows).double() - frame.target_scale.log().sum()

    def _options(
        self,
        source: Population,
        settings: DensityKind,
        clock: Clock,
        progress: Progress,
    ) -> FitOptions:
        """Return the parameters as a fit takes them, the settings being those for the features there are."""
        settings = self.settings_for(source.dim)
        return super()._options(source, settings, clock, progress)


def score_against_normal(x: Tensor, generator: torch.Generator) -> float:
    """Return how surely rows (n, d) are of no normal law of uncorrelated features, as a normal score."""
    chosen = torch.randperm(len(x), generator=generator)[: NORMALITY.compared_rows]
    rows = x[chosen.to(x.device)].double()
    normal = torch.randn(rows.shape, generator=generator, dtype=rows.dtype).to(rows)
    both = MapFrame.standard(rows, normal)
    test = TwoSampleSettings(NORMALITY.permutations, NORMALITY.compared_rows)
    first, second = both.from_source(rows), both.from_target(normal)
    return two_sample_score(first, second, generator, test)
