"""From two populations to a transport map: split, coordinates, training, selection, certificate.

Each side is split three ways: rows to train on, rows to select by (held-out J, early stopping), and rows that certify
the result and take part in nothing else. The trained network must beat the map training started from by `BEATS`
standard errors of held-out J; otherwise there is nothing to learn beyond that map at this sample size, and it is
returned, refitted to all samples, or to as many of a stream as training drew.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from brenier import checkpoint
from brenier.batches import Draw
from brenier.calibration import Calibration, Features
from brenier.coordinates import Coordinates, feature_units, gaussian_coordinates, plain_coordinates
from brenier.dual import DualObjective
from brenier.errors import ConvergenceWarning, DataError, DataWarning
from brenier.evidence import adjusted_difference
from brenier.populations import Population, Split
from brenier.potentials import Potential, Quadratic
from brenier.training import Run, Settings
from brenier.transport import TransportMap

MOMENTS = 200_000  # rows that determine the coordinates
REFITTED = 2**21  # and the affine map, if that is the result: as many more as training drew, but not beyond these
BEATS = 3.0
MANY = 65_536  # rows that determine the moments in the comparison with the start
INVERSE = 0.1  # the map inverts to this share of the tolerance of training: its solves are not repeated
SMALLEST = 1e-140  # spread of a feature, and the reciprocal of the largest value

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
    warm: TransportMap | None


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit gives back: the map, how training went, and how the certificate rows came out."""

    map: TransportMap
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]


def fit_map(source: Population, target: Population, options: Options) -> Fitted:
    """Return the transport map between two populations."""
    state = checkpoint.read_run(options.folder) if options.folder else None
    seed = options.seed
    if state is not None:
        seed = checkpoint.resumed_seed(state, seed if options.seed_given else None, options.folder or "")
    generator = torch.Generator().manual_seed(seed)
    split = Split.of(source, target, generator)
    coordinates = _coordinates(split.source, split.target, options, generator)
    run = _run(split, coordinates, options, generator)
    mark = ""
    if options.folder:
        mark = checkpoint.fingerprint(_describe(options, run), *run.held_out, coordinates.basis, coordinates.unit)
        if state is not None:
            checkpoint.restore_run(state, run, mark, options.folder)
    _train(run, options, mark, seed)
    many = source.some(MANY, generator).to(options.device), target.some(MANY, generator).to(options.device)
    learnt = options.warm is not None or _beats_start(run, coordinates, many)
    network = run.result() if learnt else _identity(source.dim, options)
    transport = TransportMap(network, coordinates, method=run.objective.method, tol=INVERSE * run.objective.tol)
    certificate = transport.measure(*split.certify, held_out=split.held_out, many=many)
    diagnostics = {"selected": "network" if learnt else options.start, "stopped": run.finished, "steps": run.step}
    diagnostics |= {"setbacks": run.setbacks, **round_trip(transport, split.certify[0])}
    _warn(diagnostics, run)
    if not learnt and options.start == "affine":
        rows = MOMENTS + run.step * options.settings.batch_size
        transport.coordinates = _refitted(source, target, coordinates, min(rows, REFITTED), generator)
    transport.held_out = certificate
    if options.folder:
        checkpoint.remove_run(options.folder)
    return Fitted(transport, run.history, diagnostics)


def round_trip(transport: TransportMap, x: Tensor) -> dict[str, Any]:
    """Return the median of |T^{-1}(T(x)) - x| relative to the spread of x, and rows that did not converge."""
    back, solution = transport.inverse(transport(x), return_solution=True)
    unit = transport.coordinates.unit.to(x)
    error = torch.linalg.vector_norm((back - x) / unit, dim=-1)
    spread = torch.linalg.vector_norm((x - x.mean(0)) / unit, dim=-1).square().mean().sqrt()
    median = float(error.median() / spread) if float(spread) > 0 else float(error.median())
    return {"round_trip": median, "round_trip_unconverged": solution.unconverged, "round_trip_rows": len(x)}


def _coordinates(source: Population, target: Population, options: Options, generator: torch.Generator) -> Coordinates:
    """Return the coordinates to train in, determined by training rows alone."""
    if options.warm is not None:
        return options.warm.coordinates.to(options.device)
    x, z = (side.some(MOMENTS, generator).cpu() for side in (source, target))
    _check_range(x, z)
    unit, mixed = feature_units(x, z, options.scale)
    if mixed:
        warnings.warn(
            f"X, Y: feature scales differ by a factor of {float(unit.max() / unit.min()):.1e}, so the squared distance "
            "would ignore the smaller ones; cost is measured in units of each feature's standard deviation. Pass "
            "scale='common' for the plain squared distance, or your own units",
            DataWarning,
            stacklevel=4,
        )
    make = gaussian_coordinates if options.start == "affine" else plain_coordinates
    return make(x, z, unit).to(options.device)


def _run(split: Split, coordinates: Coordinates, options: Options, generator: torch.Generator) -> Run:
    """Return a fresh run in the given coordinates."""

    def inward(transform: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda rows: transform(rows.to(options.device)).to(options.dtype)

    if options.warm is None or isinstance(options.warm.network, Quadratic):
        potential = _fresh(options.make_potential, split.source.dim, generator)
    else:
        potential = copy.deepcopy(options.warm.network)
    potential = potential.to(options.device, options.dtype).requires_grad_(True)
    source_in, target_in = inward(coordinates.source_in), inward(coordinates.target_in)
    held_out = (source_in(split.select[0]), target_in(split.select[1]))
    draws = _draw(split.source, source_in), _draw(split.target, target_in)
    rows = min(options.settings.batch_size, *(side.size or MOMENTS for side in (split.source, split.target)))
    features = Features(rows, held_out[0], generator)
    calibration = [
        Calibration(features, move(side.some(MOMENTS, generator)), side.size is not None and side.size <= MOMENTS)
        for side, move in ((split.source, source_in), (split.target, target_in))
    ]
    return Run(potential, options.objective, *draws, held_out, options.settings, generator, calibration)


def _fresh(make: MakePotential, dim: int, generator: torch.Generator) -> Potential:
    """Return a new potential, checked."""
    made = make(dim, generator)
    if not isinstance(made, Potential) or made.dim != dim:
        found = f"{type(made).__name__} with dim={getattr(made, 'dim', None)}"
        raise DataError(f"potential: the function returned {found}; return a `Potential` with dim={dim}")
    return made


def _draw(side: Population, inward: Callable[[Tensor], Tensor]) -> Draw:
    """Return how batches of a population are drawn in the coordinates; rows in memory are moved there once."""
    if not side.in_memory:
        return lambda n, generator: inward(side.draw(n, generator))
    size = side.size or 0
    rows = inward(side.some(size, torch.Generator()))

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return rows[torch.randint(size, (min(n, size),), generator=generator).to(rows.device)]

    return draw


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


def _beats_start(run: Run, coordinates: Coordinates, many: tuple[Tensor, Tensor]) -> bool:
    """Say whether held-out J is significantly below the start's, which is zero row by row in these coordinates."""
    x, z = run.held_out
    with torch.no_grad():
        value = run.objective(run.result(), x, z)
    if not value.loss.isfinite():
        return False
    difference, error = adjusted_difference(
        (value.source, x, coordinates.source_in(many[0])), (value.target, z, coordinates.target_in(many[1]))
    )
    return difference < -BEATS * error


def _identity(dim: int, options: Options) -> Potential:
    """Return the potential of the identity, which in Gaussian coordinates is the affine map."""
    return Quadratic(dim).to(options.device, options.dtype).eval().requires_grad_(False)


def _refitted(
    source: Population, target: Population, old: Coordinates, rows: int, generator: torch.Generator
) -> Coordinates:
    """Return the coordinates determined by many more rows; the certificate, measured before, is the poorer map's."""
    unit = (old.unit / old.spread).cpu()
    return gaussian_coordinates(source.parts(rows, generator), target.parts(rows, generator), unit).to(old.unit.device)


def _warn(diagnostics: dict[str, Any], run: Run) -> None:
    """Say what a user must not miss."""
    if run.finished.startswith("gave up"):
        warnings.warn(
            f"training {run.finished}; the best map met is kept. Lower `learning_rate`, or use potential='convex'",
            ConvergenceWarning,
            stacklevel=4,
        )
    missed = diagnostics["round_trip_unconverged"]
    if missed:
        warnings.warn(
            f"the inverse of {missed} of {diagnostics['round_trip_rows']} held-out rows did not converge; raise "
            "`map_.max_steps`, or use potential='convex'",
            ConvergenceWarning,
            stacklevel=4,
        )


def _describe(options: Options, run: Run) -> str:
    """Return the settings that a resumed run must share."""
    settings = dataclasses.replace(options.settings, optimizer=None, schedule=None)  # type: ignore[arg-type]
    optimizer = f"{type(run.optimizer).__name__} {run.optimizer.defaults}"
    try:
        potential = f"{type(run.potential).__name__} {run.potential.config()}"
    except NotImplementedError:
        potential = type(run.potential).__name__
    return f"{options.start} {options.objective} {settings} {options.dtype} {optimizer} {potential}"


def _check_range(x: Tensor, z: Tensor) -> None:
    """Raise where squares of the values, or of their spreads, leave float64."""
    for name, side in (("X", x), ("Y", z)):
        largest, spread = side.abs().max(), side.amax(0) - side.amin(0)
        if float(largest) > 1 / SMALLEST or bool(((spread > 0) & (spread < SMALLEST)).any()):
            raise DataError(
                f"{name}: has values as large as {float(largest):.1e} or features that vary by less than "
                f"{SMALLEST:.0e}, whose squares float64 cannot hold; give the data in other units"
            )
