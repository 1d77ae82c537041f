"""What every fit does, whatever its populations: train a run to its end, judge it, and say what a user must not miss.

The trained network must beat the map training started from, as surely as `BEATS` says; otherwise there is nothing to
learn beyond that map at this sample size.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from brenier import checkpoint
from brenier.conditional import ConditionalMap
from brenier.coordinates import Coordinates, feature_units
from brenier.dual import DualObjective
from brenier.errors import ConvergenceWarning, DataError, DataWarning, warn
from brenier.evidence import FITTED, Side, adjusted_difference, normal_score, two_sample_score
from brenier.potentials import Conditional, Potential, Quadratic
from brenier.processes import Team, processes_for
from brenier.settings import Settings
from brenier.training import Run
from brenier.transport import TransportMap, inverse_errors

BEATS = 2.33  # normal score: one in a hundred
SLIGHT = 1e-5  # gain of J per coordinate, of variance one, that is none: initial weights may have a billionth
SMALLEST = 1e-140  # spread of a feature, and the reciprocal of the largest value
MOMENTS = 200_000  # rows that determine the coordinates
REFITTED = 2**21  # and the affine map, if that is the result: as many more as training drew, but not beyond these
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
    state, seed = checkpoint.read_run(options.folder) if options.folder else None, options.seed
    if state is not None:
        seed = checkpoint.resumed_seed(state, seed if options.seed_given else None, options.folder or "")
    return state, seed, torch.Generator().manual_seed(seed)


def learn(run: Run, options: Options, state: dict[str, Any] | None, seed: int, coordinates: Coordinates) -> None:
    """Train a run to its end, from where an unfinished one was."""
    mark = ""
    if options.folder:
        mark = checkpoint.fingerprint(_describe(options, run), *run.held_out, coordinates.basis, coordinates.unit)
        if state is not None:
            checkpoint.restore_run(state, run, mark, options.folder)
    processes = (options.processes or processes_for(run)) if options.device.type == "cpu" else 1
    if processes == 1:
        _train(run, options, mark, seed)
        return
    alone = run.objective
    with Team(processes, run.parts, alone.method, patient=options.settings.max_time is None) as team:
        run.objective = dataclasses.replace(alone, evaluate=team)
        _train(run, options, mark, seed)
    run.objective = alone


def _train(run: Run, options: Options, mark: str, seed: int) -> None:
    """Advance the run to its end, written down at every evaluation if it has a folder.

    An interruption may fall into the middle of a step, from where no run can be resumed to the bit: none is written.
    """
    saved = -1
    with tqdm(total=options.settings.max_steps, initial=run.step, disable=not options.progress, unit="step") as bar:
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
    hurry = [group.get("hurry") for group in run.optimizer.param_groups]
    optimizer = f"{type(run.optimizer).__name__} {run.optimizer.defaults} {hurry}"
    try:
        potential = f"{type(run.potential).__name__} {run.potential.config()}"
    except NotImplementedError:
        potential = type(run.potential).__name__
    return f"{options.start} {options.objective} {settings} {options.dtype} {optimizer} {potential}"


def beats_start(run: Run, many_source: Tensor, many_target: Tensor, distinct: bool = True) -> bool:
    """Say whether held-out J is below the start's, which is zero row by row in its coordinates.

    It has to be so significantly. Or the samples have to refute the start, for where that is the transport map both
    sides are of one law in its coordinates. Or both together: these are other rows than those held out, so the two
    scores are independent ("The American Soldier", Stouffer et al., 1949, vol. 1, p. 45).

    Args:
        run: one that has ended.
        many_source, many_target: many rows of either side that are not held out, in the coordinates.
        distinct: whether none of them is there twice, without which the two laws cannot be compared.
    """
    potential, (x, z) = run.result(), run.held_out
    many = [side[torch.randperm(len(side), generator=run.generator)] for side in (many_source, many_target)]
    with torch.no_grad():
        value = run.objective(potential, x, z)
        others = run.objective(potential, *(side[:FITTED].to(x) for side in many))
    if not (value.loss.isfinite() and others.loss.isfinite()):
        return False
    difference, error = adjusted_difference(
        Side(value.source, x, many[0], others.source), Side(value.target, z, many[1], others.target)
    )
    if difference > -SLIGHT * run.potential.space:
        return False
    gain = normal_score(-difference / error if error else math.inf, min(len(x), len(z)))
    if gain > BEATS or not distinct:
        return gain > BEATS
    refuted = two_sample_score(many_source, many_target, run.generator)
    return max(refuted, (gain + refuted) / math.sqrt(2)) > BEATS


def identity(dim: int, options: Options) -> Potential:
    """Return the potential of the identity, which in Gaussian coordinates is the affine map."""
    return Quadratic(dim).to(options.device, options.dtype).eval().requires_grad_(False)


def trainable(dim: int, options: Options, generator: torch.Generator, space: int | None = None) -> Potential:
    """Return the potential to train: a new one, or the warm start's.

    Args:
        dim: of the points.
        options: what the fit is told.
        generator: source of the initial weights.
        space: for conditioned points, how many leading coordinates are transported.
    """
    warm = trained(options.warm)
    if warm is not None:
        made = copy.deepcopy(warm)
    else:
        made = fresh(options.make_potential, dim, generator)
        made = made if space is None else Conditional(made, space)
    return made.to(options.device, options.dtype).requires_grad_(True)


def trained(warm: TransportMap | ConditionalMap | None) -> Potential | None:
    """Return the potential to go on from, or None where there is no map, or only an affine one."""
    potential = None if warm is None else warm.network
    network = potential.network if isinstance(potential, Conditional) else potential
    return None if isinstance(network, Quadratic) else potential


def fresh(make: MakePotential, dim: int, generator: torch.Generator) -> Potential:
    """Return a new potential, checked."""
    made = make(dim, generator)
    if not isinstance(made, Potential) or made.dim != dim:
        found = f"{type(made).__name__} with dim={getattr(made, 'dim', None)}"
        raise DataError(f"potential: the function returned {found}; return a `Potential` with dim={dim}")
    return made


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


def _check_range(x: Tensor, z: Tensor) -> None:
    """Raise where squares of the values, or of their spreads, leave float64."""
    for name, side in (("X", x), ("Y", z)):
        largest, spread = side.abs().max(), side.amax(0) - side.amin(0)
        if float(largest) > 1 / SMALLEST or bool(((spread > 0) & (spread < SMALLEST)).any()):
            raise DataError(
                f"{name}: has values as large as {float(largest):.1e} or features that vary by less than "
                f"{SMALLEST:.0e}, whose squares float64 cannot hold; give the data in other units"
            )


def conclude(
    transport: TransportMap | ConditionalMap, run: Run, options: Options, learnt: bool, x: Tensor, *condition: Any
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
    found = {"selected": "network" if learnt else options.start, "stopped": run.finished, "steps": run.step}
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
