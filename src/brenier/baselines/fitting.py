"""From two populations to the map of a baseline: split, find the frame, train."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from brenier.baselines.flow_loss import energy_terms
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapFrame, MapModel, ModelMap
from brenier.baselines.pair_task import DrawCoordinates, PairSides, PairTask
from brenier.datasets import Population, Split, SplitSettings
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.statistics import rows_of
from brenier.training import (
    Clock,
    Keeper,
    Progress,
    Run,
    Start,
    fingerprint,
    resume_or_start,
    start_anew,
    train,
)


@dataclasses.dataclass(frozen=True)
class FittingSettings:
    """How baselines are fitted, beside what their settings say.

    Attributes:
        frame_rows: of a side at most, by which the frame is found.
        frame_numbers: about as many at most: of many features fewer rows are.
        compared_rows: of a side at most that are held out, all pairs of which are compared at every evaluation.
        concluding_share: of `max_time`, that the last evaluation gets.
    """

    frame_rows: int = 65_536
    frame_numbers: int = 2**23
    compared_rows: int = 1024
    concluding_share: float = 0.02


FITTING = FittingSettings()


class Recipe(Protocol):
    """What a method adds to a fit."""

    def sides(
        self,
        source: Population,
        target: Population,
        options: FitOptions,
        generator: torch.Generator,
    ) -> tuple[PairSides, MapFrame]:
        """Return both sides in coordinates, and these."""
        ...

    def model(self, dim: int, generator: torch.Generator) -> MapModel:
        """Return the untrained model."""
        ...

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Put the model where training starts, in place; it counts in the seconds of the fit."""
        ...

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> PairTask:
        """Return the task that trains the model."""
        ...


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """What a fit is told, as the parameters of the estimator say."""

    settings: LearnedSettings
    max_steps: float | None
    max_time: float | None
    seed: int
    seed_given: bool
    device: torch.device
    dtype: torch.dtype
    folder: str | None
    clock: Clock
    progress: Progress
    described: str


class FittedModel(NamedTuple):
    """What a fit gives: the maps by the weights they have, how training went, and the file of its run."""

    maps: dict[str, ModelMap]
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]
    run_file: Path | None


class _Ready(NamedTuple):
    run: Run[MapModel]
    sides: PairSides
    frame: MapFrame
    keeper: Keeper | None


def fit_learned(
    recipe: Recipe, source: Population, target: Population, options: FitOptions
) -> FittedModel:
    """Return the maps of a method between two populations.

    Raises:
        DataError: for samples that cannot be drawn, or whose coordinates overflow.
        ModelFileError: where the checkpoint is damaged, or belongs to other samples or settings.
    """
    start = resume_or_start(options.folder, options.seed, options.seed_given)
    ready = _ready(recipe, source, target, options, start)
    keeper = ready.keeper
    if start.finished and keeper is not None and not keeper.knows(start):
        start = start_anew(options.seed)
        ready = _ready(recipe, source, target, options, start)
        keeper = ready.keeper
    run = ready.run
    if keeper is not None:
        keeper.restore(run, start)
    train(run, keeper, options.progress)
    file = None if keeper is None else keeper.finish()
    models = {
        "last": copy.deepcopy(run.task.model),
        "average": copy.deepcopy(run.average),
        "selected": run.result(),
    }
    if run.finished.startswith("gave up"):
        warn(
            f"training {run.finished}; the best weights seen are kept. Lower the learning rate of the settings",
            ConvergenceWarning,
        )
        models = dict.fromkeys(models, models["selected"])
    maps = {name: ModelMap(model, ready.frame) for name, model in models.items()}
    chosen = maps[options.settings.weights].model
    return FittedModel(maps, run.history, _diagnosed(run, chosen, ready.sides), file)


def _ready(
    recipe: Recipe,
    source: Population,
    target: Population,
    options: FitOptions,
    start: Start,
) -> _Ready:
    """Return the run of a start, to be taken up from where an earlier one was."""
    options.progress.phase("preparing")
    generator = start.generator
    sides, frame = recipe.sides(source, target, options, generator)
    model = recipe.model(source.dim, generator).to(options.device, options.dtype)
    if start.state is None or start.finished:
        recipe.prepare(model, sides, generator)
    training = options.settings.training(options.max_steps, options.max_time)
    task = recipe.task(model, sides, generator)
    run = Run(task, training, generator, options.clock.now)
    if options.max_time is not None:
        share = 1 - FITTING.concluding_share
        run.limit = max(0.0, share * options.max_time - options.clock.gone())
    keeper = None
    if options.folder is not None:
        mark = fingerprint(
            options.described, *sides.held_out, *frame.tensors().values()
        )
        keeper = Keeper(options.folder, mark, start.seed)
    return _Ready(run, sides, frame, keeper)


def framed_sides(
    make: Callable[[Tensor, Tensor], MapFrame],
    source: Population,
    target: Population,
    options: FitOptions,
    generator: torch.Generator,
) -> tuple[PairSides, MapFrame]:
    """Return both sides in the coordinates of a frame that is found from rows of them.

    Args:
        make: rows (n, d), (m, d) of either side -> their frame.
        source, target: the populations.
        options: what the fit is told.
        generator: source of randomness.

    Raises:
        DataError: where the coordinates overflow.
    """
    split = Split.of(source, target, generator, SplitSettings(FITTING.compared_rows))
    most = max(2, min(FITTING.frame_rows, FITTING.frame_numbers // source.dim))
    known = [
        side.sample_distinct(most, generator).to(options.device)
        for side in (split.source, split.target)
    ]
    frame = make(known[0], known[1])
    frame.check()

    def encoded(
        encode: Callable[[Tensor], Tensor],
    ) -> Callable[[Tensor], Tensor]:
        return lambda rows: encode(rows.to(options.device)).to(options.dtype)

    of_source, of_target = encoded(frame.from_source), encoded(frame.from_target)
    most = FITTING.compared_rows
    select, certify = (
        (of_source(x[:most]), of_target(z[:most]))
        for x, z in (rows_of(split.select), rows_of(split.certify))
    )
    known_rows = of_source(known[0]), of_target(known[1])
    for rows in (known_rows, select, certify):
        check_in_range(rows)
    sides = PairSides(
        drawn(split.source, of_source),
        drawn(split.target, of_target),
        select,
        (split.source.size or math.inf, split.target.size or math.inf),
        known_rows,
        lambda: options.clock.gone() / (options.max_time or math.inf),
        certify=certify,
    )
    return sides, frame


def check_in_range(rows: tuple[Tensor, Tensor]) -> None:
    """Raise a DataError where coordinates (n, d), (m, d) of either side are beyond what networks compute with."""
    for side, name in zip(rows, ("X", "Y"), strict=True):
        # Their squares must not overflow either.
        if not bool((side.abs() < torch.finfo(side.dtype).max ** 0.5).all()):
            raise DataError(
                f"{name}: holds numbers so far from all others that their coordinates overflow; give them in other "
                "units, or leave out extreme rows",
                argument=name,
            )


def drawn(side: Population, encode: Callable[[Tensor], Tensor]) -> DrawCoordinates:
    """Return how batches of a population are drawn in the coordinates; rows in memory are encoded once."""
    if not side.in_memory or side.size is None:
        return lambda n, generator: encode(side.sample(n, generator))
    rows = encode(side.sample_distinct(side.size, torch.Generator()))

    def draw(n: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(rows), (n,), generator=generator)
        return rows[index.to(rows.device)]

    return draw


def _diagnosed(run: Run[MapModel], model: MapModel, sides: PairSides) -> dict[str, Any]:
    """Return how training ended, and how near a model brings rows that nothing has seen to the target."""
    x, z = sides.certify or sides.held_out
    with torch.no_grad():
        found = energy_terms(model.moved(x), z)
    return {
        "stopped": run.finished,
        "steps": run.step,
        "rollbacks": run.rollbacks,
        "seconds": run.seconds,
        "energy": found.value,
        "energy_by_chance": found.chance,
    }
