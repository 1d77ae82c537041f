"""From two populations to a characteristic flow: split, centre, train, look at what came out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brenier.baselines.flow import Flow, FlowUnits, is_quadratic
from brenier.baselines.flow_diagnostics import flow_diagnostics
from brenier.baselines.flow_network import FlowNetwork
from brenier.baselines.flow_task import DrawnClass, DrawSide, FlowSettings, FlowTask
from brenier.datasets import Population, Split, SplitSettings
from brenier.errors import DataError
from brenier.statistics import rows_of
from brenier.training import (
    Clock,
    Keeper,
    Progress,
    Run,
    Settings,
    Start,
    fingerprint,
    resume_or_start,
    start_anew,
    train,
)
from brenier.transport.costs import Cost

SidePair = tuple[Population, Population]  # of a class


@dataclasses.dataclass(frozen=True)
class FlowFitSettings:
    """How a flow is fitted, beside its loss and its steps.

    Attributes:
        moment_rows: of a side at most, by which it is centred and scaled.
        moment_numbers: about as many at most: of many features fewer rows are.
        held_out_rows: of a side at most, for either purpose: all pairs of them are compared at every evaluation.
        distinct_below: rows of a side in memory up to which those of a batch are all different; beyond, the few that
            are drawn twice do not matter.
        conclusion_share: of `max_time`, that the last evaluation and the diagnostics get.
        short_shift: distance of the means, in the common unit, below which a cost that is not quadratic starts with a
            readout `first_readout` times the usual. Where grad h* is flat at zero, as of powers below two, a potential
            that is nearly constant learns nothing; with means apart it starts at the shift between them.
        first_readout: as told.
    """

    moment_rows: int = 65_536
    moment_numbers: int = 2**23
    held_out_rows: int = 2048
    distinct_below: int = 20_000
    conclusion_share: float = 0.03
    short_shift: float = 0.3
    first_readout: float = 30.0


FLOW_FIT = FlowFitSettings()


@dataclasses.dataclass(frozen=True)
class FlowOptions:
    """What a fit is told, as the parameters of `CharacteristicFlow` say."""

    cost: Cost
    width: int
    layers: int
    quadratic_head: bool
    loss: FlowSettings
    training: Settings
    seed: int
    seed_given: bool
    device: torch.device
    dtype: torch.dtype
    folder: str | None
    clock: Clock
    progress: Progress


class FittedFlow(NamedTuple):
    """What a fit gives: the flow, how training went, what came out, and the file of its run."""

    flow: Flow
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]
    run_file: Path | None


class _Prepared(NamedTuple):
    """A run before its first step, the coordinates, the rows kept for the diagnostics, and what keeps it on disk."""

    run: Run[FlowNetwork]
    units: FlowUnits
    certify: list[tuple[Tensor, Tensor]]
    keeper: Keeper | None


def fit_flow(pairs: Sequence[SidePair], options: FlowOptions) -> FittedFlow:
    """Return the flow between both sides of every class.

    Raises:
        DataError: for samples that cannot be drawn.
        ModelFileError: where the checkpoint is damaged, or belongs to other samples or settings.
    """
    start = resume_or_start(options.folder, options.seed, options.seed_given)
    prepared = _prepared_flow(pairs, options, start)
    keeper = prepared.keeper
    if start.finished and keeper is not None and not keeper.knows(start):
        start = start_anew(options.seed)
        prepared = _prepared_flow(pairs, options, start)
        keeper = prepared.keeper
    run = prepared.run
    if keeper is not None:
        keeper.restore(run, start)
    train(run, keeper, options.progress)
    options.progress.phase("measuring")
    flow = Flow(run.result(), prepared.units, options.cost)
    found = flow_diagnostics(run, flow, prepared.certify)
    file = None if keeper is None else keeper.finish()
    return FittedFlow(flow, run.history, found, file)


def _prepared_flow(
    pairs: Sequence[SidePair], options: FlowOptions, start: Start
) -> _Prepared:
    """Return the run of a start, to be taken up from where an earlier one was."""
    options.progress.phase("preparing")
    generator = start.generator
    split = SplitSettings(max(2, FLOW_FIT.held_out_rows // len(pairs)))
    splits = [Split.of(x, z, generator, split) for x, z in pairs]
    dim = splits[0].source.dim
    most = min(FLOW_FIT.moment_rows, FLOW_FIT.moment_numbers // dim)
    most = max(2, most // len(splits))
    known = [
        (
            part.source.sample_distinct(most, generator).to(options.device),
            part.target.sample_distinct(most, generator).to(options.device),
        )
        for part in splits
    ]
    sides = [torch.cat(list(side)) for side in zip(*known, strict=True)]
    units = FlowUnits.of(sides[0], sides[1], options.cost)
    encoders = _encoders(units, options)
    draws = [
        DrawnClass(
            _flow_draw(part.source, encoders[0]),
            _flow_draw(part.target, encoders[1]),
            min(part.source.size or math.inf, part.target.size or math.inf),
            (encoders[0](x).mean(0), encoders[1](z).mean(0)),
        )
        for part, (x, z) in zip(splits, known, strict=True)
    ]
    select = [_both_encoded(rows_of(part.select), encoders) for part in splits]
    means = encoders[0](sides[0]).mean(0), encoders[1](sides[1]).mean(0)
    network = _new_network(units, means, options, generator)
    cost = units.cost(options.cost, network.dim)
    task = FlowTask(network, cost, draws, select, options.loss, generator)
    run = Run(task, options.training, generator, options.clock.now)
    if options.training.max_time is not None:
        share = 1 - FLOW_FIT.conclusion_share
        run.limit = max(0.0, share * options.training.max_time - options.clock.gone())
    keeper = None
    if options.folder is not None:
        rows = [side for pair in select for side in pair]
        mark = fingerprint(_flow_description(options, run), *rows, units.source)
        keeper = Keeper(options.folder, mark, start.seed)
    certify = [_both_encoded(rows_of(part.certify), encoders) for part in splits]
    return _Prepared(run, units, certify, keeper)


def _new_network(
    units: FlowUnits,
    means: tuple[Tensor, Tensor],
    options: FlowOptions,
    generator: torch.Generator,
) -> FlowNetwork:
    """Return a network whose map is nearly the shift between the means of both sides, in the coordinates."""
    dim = len(units.source)
    network = FlowNetwork(
        dim,
        options.width,
        options.layers,
        quadratic_head=options.quadratic_head,
        generator=generator,
    )
    if not is_quadratic(options.cost):
        shift = (means[1] - means[0]).cpu()[None]
        with torch.no_grad():
            network.slope.copy_(units.cost(options.cost, dim).gradient(shift)[0])
            if float(torch.linalg.vector_norm(shift)) < FLOW_FIT.short_shift:
                network.readout.mul_(FLOW_FIT.first_readout)
    network = network.to(options.device, options.dtype)
    parts = [units.source, units.target, *network.parameters()]
    finite = all(bool(part.isfinite().all()) for part in parts)
    if not finite or not math.isfinite(units.scale):
        raise DataError(
            "X, Y: hold numbers so large, or so far apart, that the coordinates or the cost of a move between both "
            "sides overflow; give them in other units, or leave out extreme rows",
            argument="X, Y",
        )
    return network


def _encoders(
    units: FlowUnits, options: FlowOptions
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return how rows of either side are encoded."""

    def of(centre: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda rows: ((rows.to(centre) - centre) / units.scale).to(options.dtype)

    return of(units.source), of(units.target)


def _both_encoded(
    rows: tuple[Tensor, Tensor],
    encoders: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]],
) -> tuple[Tensor, Tensor]:
    """Return rows of both sides in the coordinates, no more than are compared with each other."""
    most = FLOW_FIT.held_out_rows
    return encoders[0](rows[0][:most]), encoders[1](rows[1][:most])


def _flow_draw(side: Population, encode: Callable[[Tensor], Tensor]) -> DrawSide:
    """Return how batches of a population are drawn in the coordinates; rows in memory are encoded once."""
    if not side.in_memory or side.size is None:
        return lambda n, generator: encode(side.sample(n, generator))
    size = side.size
    rows = encode(side.sample_distinct(size, torch.Generator()))

    def draw(n: int, generator: torch.Generator) -> Tensor:
        if size <= FLOW_FIT.distinct_below:
            index = torch.randperm(size, generator=generator)[:n]
        else:
            index = torch.randint(size, (n,), generator=generator)
        return rows[index.to(rows.device)]

    return draw


def _flow_description(options: FlowOptions, run: Run[FlowNetwork]) -> str:
    """Return the settings that a resumed run must share, in words."""
    training = dataclasses.asdict(options.training)
    for name in ("optimizer", "schedule"):  # functions, whose names say nothing
        del training[name]
    network = run.task.model.config()
    told = (repr(options.cost), network, options.loss, training, options.dtype)
    return " ".join(map(str, told))
