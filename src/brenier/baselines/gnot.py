"""A map guided by classes, FG of "Neural Optimal Transport with General Cost Functionals" (Asadulaev et al., 2024).

    max over f, min over T:   F(T) - E_mu f(T(x)) + E_nu f(y)
    F(T) = mean over classes k of   E|y - T(x)| - E|T(x) - T(x')| / 2,    x, x' of class k, y labelled k,

where F is half the energy distance of every class to the target rows that bear its label, but for a term of these
alone. No cost of moving is in it: what comes out is a map with the right classes, not an optimal one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.class_sides import ClassRecipe
from brenier.baselines.flow_loss import energy_terms
from brenier.baselines.flow_plan import flow_classes
from brenier.baselines.guided_map import GuidedMap
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import frozen
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.datasets import LabelsLike, Population, Sampler, TableLike
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.training import Evaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class GNOTSettings(LearnedSettings):
    """How a map guided by classes and its dual potential are trained.

    `batch_size` counts the rows of either side, so batch_size / rows_per_class classes are drawn for every step.

    Attributes:
        hidden: units of the layers of map and potential.
        activation: between them.
        noise: whether the map also takes normal noise, as many numbers as there are features, so that it may spread a
            row out (published "with z"); without, it is a plain map ("no z").
        labelled_rows: target rows per class whose label the map is told, drawn once, or None: all of them.
        rows_per_class: rows of every class drawn, two or more.
        all_pairs: whether all moved rows of a class drawn are compared with all its labelled ones, or one with one; the
            first has less noise.
        map_steps: steps of the map for every step of the potential.
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    activation: str = "relu"
    noise: bool = False
    labelled_rows: int | None = None
    rows_per_class: int = 16
    all_pairs: bool = True
    map_steps: int = 10

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        for name, least in (("rows_per_class", 2), ("map_steps", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise DataError(
                    f"settings: {name} must be a whole number, {least} or more, got {value!r}; change it by "
                    "dataclasses.replace",
                    argument="settings",
                )
        labelled = self.labelled_rows
        if labelled is not None and not (isinstance(labelled, int) and labelled >= 2):
            raise DataError(
                f"settings: labelled_rows must be a whole number, 2 or more, or None, got {labelled!r}; change it by "
                "dataclasses.replace",
                argument="settings",
            )


def class_functional(moved: Tensor, labelled: Tensor, all_pairs: bool) -> Tensor:
    """Return the mean over groups of E|y - T(x)| - E|T(x) - T(x')| / 2, without bias: a scalar.

    Args:
        moved: (groups, rows, d), moved rows of one class each, two or more of a group.
        labelled: (groups, rows, d), target rows of the same classes.
        all_pairs: whether all of them are compared with all of a group, or one with one.
    """
    rows = moved.shape[1]
    across = torch.linalg.vector_norm(moved - labelled, dim=-1)
    if all_pairs:
        across = _group_distances(moved, labelled)
    within = _group_distances(moved, moved)
    # A row's distance to itself is zero, and no pair: the mean is over pairs of different rows.
    return across.mean() - 0.5 * within.mean() * rows / (rows - 1)


def _group_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the distances of all rows of either side of a group: (g, n, d), (g, m, d) -> (g, n, m)."""
    # By differences, which are exact where rows coincide.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class GNOTTask(PairTask):
    """Some steps of the map for one of the dual potential.

    Args:
        model: both networks.
        sides: with those of every class.
        generator: the only source of randomness.
        settings: the steps and the rows.
    """

    model: GuidedMap

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: GNOTSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings
        self.labelled: list[Tensor] | None = None
        if settings.labelled_rows is not None:
            self.labelled = [
                some_distinct(one.known[1], settings.labelled_rows, generator)
                for one in sides.classes
            ]

    def loss(self, rows: int) -> Tensor:
        """Return the loss of the network whose turn it is."""
        each = self.settings.rows_per_class
        groups = max(1, rows // each)
        x, labelled = self.draw_classes(groups, each)
        if self.taken % (self.settings.map_steps + 1) < self.settings.map_steps:
            moved = self._moved(x)
            shape = (groups, each, moved.shape[1])
            of_classes = class_functional(
                moved.view(shape), labelled.view(shape), self.settings.all_pairs
            )
            with frozen(self.model.potential):
                return of_classes - self.model.value(moved).mean()
        with torch.no_grad():
            moved = self._moved(x)
        of_target = self.model.value(self.draw_target(groups * each)).mean()
        return self.model.value(moved).mean() - of_target

    def draw_classes(self, groups: int, each: int) -> tuple[Tensor, Tensor]:
        """Return rows of both sides in groups of one class each, classes drawn with replacement.

        Returns:
            source rows and labelled target rows, (groups * each, d), group by group.
        """
        classes = self.sides.classes
        chosen = torch.randint(len(classes), (groups,), generator=self.generator)
        counts = chosen.bincount(minlength=len(classes)).tolist()
        xs, ys = list[Tensor](), list[Tensor]()
        for k, count in enumerate(counts):
            if count:
                xs.append(classes[k].source(count * each, self.generator))
                ys.append(self._labelled(k, count * each))
        return torch.cat(xs), torch.cat(ys)

    @torch.no_grad()
    def evaluate(self, model: MapModel) -> Evaluation:
        """Return the mean over classes of the energy distance of moved held-out rows to their own target.

        Where only some labels are known the target rows are these: no other label is looked at.
        """
        found = []
        for k, one in enumerate(self.sides.classes):
            seen, aim = one.held_out
            aim = aim if self.labelled is None else self.labelled[k]
            found.append(energy_terms(model.moved(seen), aim))
        count = len(found)
        value = math.fsum(each.value for each in found) / count
        chance = math.hypot(*(each.chance for each in found)) / count
        terms = (
            torch.cat([each.of_first for each in found]),
            torch.cat([each.of_second for each in found]),
        )
        record = {"energy": value, "energy_by_chance": chance}
        return Evaluation(value, terms, record, trusted=math.isfinite(value))

    def _labelled(self, k: int, n: int) -> Tensor:
        """Return n target rows that are known to be of a class: (n, d)."""
        if self.labelled is None:
            return self.sides.classes[k].target(n, self.generator)
        pool = self.labelled[k]
        index = torch.randint(len(pool), (n,), generator=self.generator)
        return pool[index.to(pool.device)]

    def _moved(self, x: Tensor) -> Tensor:
        """Return moved rows, each with noise of its own: then any two are independent, as the loss takes them to be."""
        return self.model.moved_by(
            x, self.normal(*x.shape) if self.model.noise else None
        )


def some_distinct(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n of some rows (m, d), or all where there are no more, in random order."""
    index = torch.randperm(len(rows), generator=generator)[:n]
    return rows[index.to(rows.device)]


class GNOT(LearnedBaseline[GNOTSettings]):
    """A map that is told the classes of both sides in training, and none afterwards (FG).

    "Neural Optimal Transport with General Cost Functionals" (Asadulaev et al., 2024), the functional guided by classes.
    Every class is brought to target rows of the same label, of which few are needed, by half its energy distance; a
    dual potential brings all rows together to the whole target. Take it where rows come without labels once the map is
    fitted. It is no optimal map for any cost of moving, has no inverse, and where classes of the source overlap it
    must decide between them. "published" are the settings of the paper's problems in the plane: those of its images
    are for convolutions (rate 1e-5, halved every 10,000 of 60,001 steps).

    >>> import numpy as np
    >>> from brenier.baselines import GNOT
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=500)
    >>> X = np.stack([4 * labels, 0 * labels], 1) + rng.normal(size=(500, 2))
    >>> method = GNOT(max_steps=33, random_state=0).fit(
    ...     X, -X, source_labels=labels, target_labels=labels
    ... )
    >>> method.transform(X).shape
    (500, 2)
    """

    model_class = GuidedMap
    has_inverse = False
    presets: ClassVar[Mapping[str, Any]] = {
        # 32 classes of two rows a step, ten labels a class, and 1,001 rounds of ten steps and one.
        "published": GNOTSettings(
            batch_size=64,
            rows_per_class=2,
            all_pairs=False,
            labelled_rows=10,
            final_rate=1.0,
            max_steps=1001 * 11,
            coordinates="data",
            max_rollbacks=1,
            evaluate_every=1100,
        ),
        "fair": GNOTSettings(),
    }

    @validation.names_both_sides
    def fit(
        self,
        X: TableLike | Sampler,
        Y: TableLike | Sampler,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
    ) -> GNOT:
        """Learn the map between the distributions of X (n, d) and of Y (m, d), unpaired, class by class.

        Args:
            X, Y: arrays, tensors, frames or memory-mapped arrays.
            source_labels, target_labels: one label per row, of any hashable kind. Both are needed. Rows of a class that
                only one side has are left out, with a `DataWarning`. With `labelled_rows` the labels of other target
                rows only balance the classes.

        Raises:
            DataError: for samples, labels or parameters that cannot be used.
            ModelFileError: where `checkpoint` holds a damaged run, or one of other samples or settings.
        """
        classes: list[Any] = []

        def told(source: Population, target: Population) -> ClassRecipe:
            for name, labels in (
                ("source_labels", source_labels),
                ("target_labels", target_labels),
            ):
                if labels is None:
                    raise DataError(
                        f"{name}: is missing; GNOT is guided by classes, so give one label per row of both sides, or "
                        "take a method that needs none",
                        argument=name,
                    )
            pairs, found = flow_classes(source, target, source_labels, target_labels)
            classes.extend(found or ())
            return ClassRecipe(self, pairs)  # type: ignore[arg-type]

        self._fit(X, Y, told)
        self.labels_ = classes
        return self

    def model(self, dim: int, generator: torch.Generator) -> GuidedMap:
        """Return the untrained networks."""
        settings = self.chosen_settings()
        return GuidedMap(
            dim,
            hidden=settings.hidden,
            activation=settings.activation,
            noise=settings.noise,
            generator=generator,
        )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> GNOTTask:
        """Return the task that trains both networks."""
        return GNOTTask(model, sides, generator, self.chosen_settings())
