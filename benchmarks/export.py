"""Maps as one file: how large, how far from `transform`, and how fast.

    python -m benchmarks.export           # d = 16: every kind of potential, condition, cost and mass

Networks are random ones of the sizes that fits take: neither size nor speed depends on how well one is trained. Each is
exported with inputs and outputs of float64, and moves 10,000 rows of the source by `transform`, by the `.pt2` file in
torch, and by the `.onnx` file in onnxruntime; files are given 1,024 rows at once. All take one thread. The error is the
largest difference of any number from `transform`, as a share of the standard deviation of moved rows; "far" and
"rounding" are what `export` found on rows up to 30 standard deviations out, and of the library beside itself in double
precision. Seconds are the median of five calls. Target: 1e-6, or where the network is of single precision its own
rounding.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
)
from brenier import (
    Conditional,
    DenseICNN,
    Elastic,
    Mahalanobis,
    MeanPotential,
    OptimalTransport,
    Potential,
    Power,
    Quadratic,
    ResidualPotential,
    TransportMap,
    UnbalancedMass,
)
from brenier.datasets import separable_pair
from brenier.potentials import EntropicPotential, MaxAffine

ERROR = 1e-6  # target
ROUNDINGS = 4  # times its own rounding that a network of single precision may differ
AT_ONCE = 1024  # rows given to a file
REPEATS = 5  # calls
POINTS = 1500  # of a plan


class Made(NamedTuple):
    """A map, and what its rows are conditioned on: as `transform` takes it, and as a file does."""

    move: Callable[..., Any]
    export: Callable[[Path], Any]
    given: Mapping[str, Any] = {}
    inputs: tuple[np.ndarray, ...] = ()


def network_of(
    kind: Callable[..., Any], dim: int, seed: int, bounded_below: bool = False
) -> Potential:
    """Return a network that is not the affine map which new ones are."""
    generator = torch.Generator().manual_seed(seed)
    told = {"bounded_below": True} if bounded_below else {}
    potential: Potential = kind(dim, generator=generator, **told)
    for name, parameter in potential.named_parameters():
        if name.endswith("readout"):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.add_(noise, alpha=0.02)
    return potential.eval().requires_grad_(False)


def of_kind(
    x: np.ndarray, z: np.ndarray, seed: int, kind: Callable[..., Any], **told: Any
) -> Made:
    """Return a map in the coordinates of the rows, with a network of some kind."""
    ot = OptimalTransport("free", n_networks=1, max_steps=1, random_state=seed, **told)
    ot.fit(x, z)
    bounded = ot.map_.ground is not None
    ot.map_.network = network_of(kind, x.shape[1], seed, bounded).to(
        next(ot.map_.network.parameters()).dtype
    )
    return _made(ot)


def by_condition(x: np.ndarray, z: np.ndarray, seed: int, labels: bool) -> Made:
    """Return a map of three classes, or of one covariate."""
    rows = 10_000
    sides: list[Any]
    given: Any
    if labels:
        sides = [np.arange(len(side)) % 3 for side in (x, z)]
        given = np.arange(rows) % 3
    else:
        sides = [np.linspace(0, 1, len(side))[:, None] for side in (x, z)]
        given = np.linspace(0, 1, rows)[:, None]
    name = "labels" if labels else "covariates"
    conditions = {f"source_{name}": sides[0], f"target_{name}": sides[1]}
    ot = OptimalTransport("free", max_steps=1, random_state=seed)
    ot.fit(x, z, **conditions)  # type: ignore[arg-type]
    network = network_of(DenseICNN, ot.map_.network.dim, seed)
    ot.map_.network = Conditional(network, x.shape[1])
    return _made(ot, {name: given}, (given,))


def of_plan(x: np.ndarray, z: np.ndarray, seed: int, entropic: bool) -> Made:
    """Return the map of a plan between some rows, heights being those of the points."""
    u, w = (torch.from_numpy(side[:POINTS]).float() for side in (x, z))
    network: EntropicPotential | MaxAffine
    if entropic:
        zero = torch.zeros(len(u)), torch.zeros(len(w))
        temperature = 0.5 * x.shape[1]
        network = EntropicPotential.of_potentials(
            (u, zero[0]), (w, zero[1]), temperature
        )
    else:
        network = MaxAffine.of_plan(w, w.square().sum(-1) / 2, 0.1)
    transport = TransportMap(network)
    return Made(transport, transport.export)


def _made(
    ot: OptimalTransport,
    given: Mapping[str, Any] | None = None,
    inputs: tuple[np.ndarray, ...] = (),
) -> Made:
    return Made(ot.transform, ot.export, given or {}, inputs)


def _quadratic(dim: int, generator: torch.Generator) -> Quadratic:
    return Quadratic(dim)


def _mean(dim: int, generator: torch.Generator) -> MeanPotential:
    return MeanPotential([DenseICNN(dim, generator=generator) for _ in range(3)])


def _metric(x: np.ndarray, z: np.ndarray, seed: int) -> Made:
    matrix = np.diag(np.linspace(1, 3, x.shape[1]))
    return of_kind(x, z, seed, DenseICNN, cost=Mahalanobis(matrix))


_SOFTPLUS = partial(DenseICNN, activation="softplus")
_CONVEX = partial(DenseICNN, convex=True)
_MASS = UnbalancedMass(2.0, 2.0)
KINDS: dict[str, Callable[..., Made]] = {
    "quadratic": partial(of_kind, kind=_quadratic),
    "free": partial(of_kind, kind=DenseICNN),
    "free, softplus": partial(of_kind, kind=_SOFTPLUS),
    "free, float64": partial(of_kind, kind=DenseICNN, dtype="float64"),
    "convex": partial(of_kind, kind=_CONVEX),
    "residual": partial(of_kind, kind=ResidualPotential),
    "mean of three": partial(of_kind, kind=_mean),
    f"entropic plan, {POINTS:,} points": partial(of_plan, entropic=True),
    f"max-affine, {POINTS:,} points": partial(of_plan, entropic=False),
    "labels": partial(by_condition, labels=True),
    "covariates": partial(by_condition, labels=False),
    "Power(1.5)": partial(of_kind, kind=DenseICNN, cost=Power(1.5)),
    "Elastic(0.1)": partial(of_kind, kind=DenseICNN, cost=Elastic(0.1)),
    "Mahalanobis": _metric,
    "unbalanced mass": partial(of_kind, kind=DenseICNN, mass=_MASS),
}


class Ready(NamedTuple):
    """A map, the rows it moves, where they come to, and a folder for files."""

    made: Made
    x: np.ndarray
    moved: np.ndarray
    folder: Path


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        for kind in KINDS:
            yield Choice(f"{kind}, d={dim}", (kind, dim), {"dim": dim})


def methods(flags: Flags, problem: tuple[str, int]) -> Iterator[Choice]:
    for name in ("transform", ".pt2, torch", ".onnx, onnxruntime"):
        yield Choice(name, name.partition(",")[0])


@contextlib.contextmanager
def prepare(problem: tuple[str, int], seed: int, flags: Flags) -> Iterator[Ready]:
    kind, dim = problem
    pair, generator = separable_pair(dim), torch.Generator().manual_seed(seed)
    sides = [
        draw(2 * POINTS, generator).double().numpy()
        for draw in (pair.source, pair.target)
    ]
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # of so few steps
        made = KINDS[kind](*sides, seed)
        x = pair.source(10_000, generator).double().numpy()
        yield Ready(made, x, np.asarray(made.move(x, **made.given)), Path(folder))


def measure(ready: Ready, method: str, seed: int, flags: Flags) -> dict[str, Any]:
    torch.set_num_threads(1)
    made = ready.made
    if method == "transform":
        return _speed(lambda: made.move(ready.x, **made.given))
    path = ready.folder / f"map{method}"
    began = time.perf_counter()
    written = made.export(path)
    seconds = time.perf_counter() - began
    run = _torch(path) if method == ".pt2" else _onnxruntime(path)
    inputs = (ready.x, *made.inputs)

    def all_rows() -> np.ndarray:
        places = range(0, len(ready.x), AT_ONCE)
        parts = [run([each[k : k + AT_ONCE] for each in inputs]) for k in places]
        return np.concatenate(parts)

    spread = float((ready.moved - ready.moved.mean(0)).std())
    return {
        "bytes": written.size,
        "export_seconds": seconds,
        "error": float(np.abs(all_rows() - ready.moved).max()) / spread,
        "far": written.difference.far,
        "rounding": written.difference.rounding,
        **_speed(all_rows),
    }


def _speed(function: Callable[[], np.ndarray]) -> dict[str, Any]:
    """Return how many rows a second a function moves, of 10,000."""
    seconds = []
    function()
    for _ in range(REPEATS):
        began = time.perf_counter()
        rows = len(function())
        seconds.append(time.perf_counter() - began)
    return {"rows_per_second": rows / statistics.median(seconds)}


def _torch(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    module = torch.export.load(path).module()

    def run(inputs: list[np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return module(*map(torch.from_numpy, inputs))[0].numpy()

    return run


def _onnxruntime(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    names = [each.name for each in session.get_inputs()]

    def run(inputs: list[np.ndarray]) -> np.ndarray:
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]

    return run


def _meets_target(row: Row) -> bool | None:
    error = row.get("error")
    if error is None:
        return None
    allowed = max(ERROR, ROUNDINGS * (row.get("rounding") or 0))
    return row.status == "ok" and max(error, row.get("far")) <= allowed


def _kilobytes(row: Row) -> float | None:
    size = row.get("bytes")
    return None if size is None else size / 1000


TABLE = Table(
    "export",
    "export",
    (
        Column("size, kB", _kilobytes, ",.0f", max),
        Column("error (≤ 1e-6)", "error", ".1e", max),
        Column("error far out", "far", ".1e", max),
        Column("rounding", "rounding", ".1e", max),
        Column("rows per second", "rows_per_second", ",.0f"),
        Column("seconds to export", "export_seconds", ".1f"),
        Column("met", _meets_target),
    ),
)
SHORT = TABLE.short(
    lambda row: row.method.startswith(".onnx"), "size, kB", "error (≤ 1e-6)", "met"
)
BENCHMARK = Benchmark(
    "export",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments((), dims=(16,), quick_dims=(2,)),
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
