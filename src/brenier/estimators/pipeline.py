"""What every fit does, whatever its populations: train a run to its end, judge it, and say what a user must not miss.

The trained network must beat the map training started from, as surely as `BEATS` says; otherwise there is nothing to
learn beyond that map at this sample size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from brenier.errors import ConvergenceWarning, DataWarning, warn
from brenier.potentials import Potential
from brenier.training import checkpoint
from brenier.training.run import Run
from brenier.training.settings import Settings
from brenier.transport.coordinates import Coordinates, _check_range, feature_units
from brenier.transport.dual import DualObjective
from brenier.transport.dual.parallel import Team, processes_for
from brenier.transport.maps import ConditionalMap, TransportMap, inverse_errors

MOMENTS = 200_000  # rows that determine the coordinates
REFITTED = (
    2**21
)  # and the affine map, if that is the result: as many more as training drew, but not beyond these
MANY = 65_536  # rows that determine the moments in the comparison with the start
INVERSE = 0.1  # the map inverts to this share of the tolerance of training: its solves are not repeated

MakePotential = Callable[[int, torch.Generator], Potential]


@dataclasses.dataclass(frozen=True)
class Options:
    """What a fit is told.

    Attributes:
        make_potential: (d, generator) -> a potential that starts at the identity.
        start: "affine" or "identity".
        scale: how features are weighed: "auto", "common", "feature" or a (d,) tensor of units.
        objective: J and its inner solver.
        settings: how to train.
        seed: the only source of randomness.
        seed_given: whether a run resumed must have that seed.
        device: where to train.
        dtype: precision of the network.
        folder: where the unfinished run is kept, or None.
        progress: whether to show a progress bar.
        warm: a map to go on from, or None.
        processes: how many share the work of training, or None for as many as are worth it.
    """

    make_potential: MakePotential
    start: str
    scale: str | Tensor
    objective: DualObjective
    settings: Settings
    seed: int
    seed_given: bool
    device: torch.device
    dtype: torch.dtype
    folder: str | None
    progress: bool
    warm: TransportMap | ConditionalMap | None
    processes: int | None


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit gives back: the map, how training went, and how the certificate rows came out."""

    map: TransportMap | ConditionalMap
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]


def begin(options: Options) -> tuple[dict[str, Any] | None, int, torch.Generator]:
    """Return the unfinished run to go on with, if there is one, the seed, and the generator it gives."""
    state, seed = (
        checkpoint.read_run(options.folder) if options.folder else None,
        options.seed,
    )
    if state is not None:
        seed = checkpoint.resumed_seed(
            state, seed if options.seed_given else None, options.folder or ""
        )
    return state, seed, torch.Generator().manual_seed(seed)


def learn(
    run: Run,
    options: Options,
    state: dict[str, Any] | None,
    seed: int,
    coordinates: Coordinates,
) -> None:
    """Train a run to its end, from where an unfinished one was."""
    mark = ""
    if options.folder:
        mark = checkpoint.fingerprint(
            _describe(options, run), *run.held_out, coordinates.basis, coordinates.unit
        )
        if state is not None:
            checkpoint.restore_run(state, run, mark, options.folder)
    processes = (
        (options.processes or processes_for(run)) if options.device.type == "cpu" else 1
    )
    if processes == 1:
        _train(run, options, mark, seed)
        return
    alone = run.objective
    with Team(
        processes, run.parts, alone.method, patient=options.settings.max_time is None
    ) as team:
        run.objective = dataclasses.replace(alone, evaluate=team)
        _train(run, options, mark, seed)
    run.objective = alone


def _train(run: Run, options: Options, mark: str, seed: int) -> None:
    """Advance the run to its end, written down at every evaluation if it has a folder.

    An interruption may fall into the middle of a step, from where no run can be resumed to the bit: none is written.
    """
    saved = -1
    with tqdm(
        total=options.settings.max_steps,
        initial=run.step,
        disable=not options.progress,
        unit="step",
    ) as bar:
        while not run.finished:
            run.advance()
            bar.update(run.step - bar.n)
            if run.history and run.history[-1]["step"] > saved:
                saved = int(run.history[-1]["step"])
                bar.set_postfix_str(_postfix(run.history[-1]))
                if options.folder:
                    checkpoint.save_run(options.folder, run, mark, seed)


def _postfix(row: dict[str, float]) -> str:
    found = f"J={row['value']:.5g}±{row['standard_error']:.1g}"
    if row["step"] == 0:  # nothing was solved in training yet
        return found
    return f"{found} inner={row['inner_evaluations']:.1f} unconverged={row['unconverged']:.0f}"


def _describe(options: Options, run: Run) -> str:
    """Return the settings that a resumed run must share."""
    settings = dataclasses.replace(options.settings, optimizer=None, schedule=None)  # type: ignore[arg-type]
    lr_multiplier = [group.get("lr_multiplier") for group in run.optimizer.param_groups]
    optimizer = (
        f"{type(run.optimizer).__name__} {run.optimizer.defaults} {lr_multiplier}"
    )
    try:
        potential = f"{type(run.potential).__name__} {run.potential.config()}"
    except NotImplementedError:
        potential = type(run.potential).__name__
    return f"{options.start} {options.objective} {settings} {options.dtype} {optimizer} {potential}"


def units_of(x: Tensor, z: Tensor, options: Options) -> Tensor:
    """Return the units of the cost (d,) from many rows of either side, checked; say so where they had to differ."""
    _check_range(x, z)
    unit, mixed = feature_units(x, z, options.scale)
    if mixed:
        warn(
            f"X, Y: feature scales differ by a factor of {float(unit.max() / unit.min()):.1e}, so the squared distance "
            "would ignore the smaller ones; cost is measured in units of each feature's standard deviation. Pass "
            "scale='common' for the plain squared distance, or your own units",
            DataWarning,
        )
    return unit


def conclude(
    transport: TransportMap | ConditionalMap,
    run: Run,
    options: Options,
    learnt: bool,
    x: Tensor,
    *condition: Any,
) -> Fitted:
    """Return what the fit gives back, its unfinished run removed; warn of what a user must not miss.

    Args:
        transport: the map.
        run: one that has ended.
        options: what the fit was told.
        learnt: whether the map is the trained network's.
        x: (n, d), source rows of the certificate, to go there and back.
        condition: labels or covariates of these, where there are any.
    """
    found = {
        "selected": "network" if learnt else options.start,
        "stopped": run.finished,
        "steps": run.step,
    }
    errors, solution = inverse_errors(transport, x, *condition)
    found |= {"setbacks": run.setbacks, "round_trip": float(errors.median())}
    found |= {"round_trip_unconverged": solution.unconverged, "round_trip_rows": len(x)}
    if run.finished.startswith("gave up"):
        warn(
            f"training {run.finished}; the best map met is kept. Lower `learning_rate`, or use potential='convex'",
            ConvergenceWarning,
        )
    if solution.unconverged:
        warn(
            f"the inverse of {solution.unconverged} of {len(x)} held-out rows did not converge; raise "
            "`map_.max_steps`, or use potential='convex'",
            ConvergenceWarning,
        )
    if options.folder:
        checkpoint.remove_run(options.folder)
    return Fitted(transport, run.history, found)
