"""Other libraries and this one side by side: the same pairs, samples, cores and seconds, one command.

    python -m benchmarks.peers.environments ott-jax pot              # once: an environment for each peer
    BRENIER_DATA=... python -m benchmarks.peers                      # every method on every pair, 60 s each
    python -m benchmarks.peers --pairs tails --dims 16 --peers brenier ott-jax --seconds 20
    python -m benchmarks.peers --costs "power 1.5" elastic sparse    # pairs of `benchmarks/costs.py` instead
    python -m benchmarks.peers --dims 64 --seconds 300 --methods brenier "W2 dual"    # those with such a name
    python -m benchmarks.peers --agreement --pairs w2hd --dims 2    # our baselines beside the same of ott-jax

Pairs are those of the Wasserstein-2 benchmark and of `brenier.datasets.NEUTRAL`. Every method is a process of its own,
in an environment of its own (`peers/*.txt`), on `--threads` cores. All draw from one pool of `--pool` samples a side
(500,000), drawn before, instead of an endless stream; all are evaluated here, on 16,384 new points.

* brenier: `OptimalTransport()` with nothing set but the time; and the published settings (`benchmarks/preset.py`).
* ott-jax: the expectile and the W2 neural dual with their published settings, two learning rates each, and from d = 64
  on two sizes of the former. Each is a row; to take the best of them by its error flatters the peer.
* with `--costs`: ours and the expectile dual with the pair's cost, and ott-jax's entropic map with that cost;
* POT: exact plan, entropic, linear and kernel map, from as many rows of the pool as the time allows (`peers/pot.py`).

`--seconds` are seconds of training. Starting Python, importing, reading the pool, what ott-jax compiles ("seconds
apart") and moving the evaluation points are not counted. Fits in closed form take what they take.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import costs, pairs, scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
    flag,
)
from benchmarks.harness.machine import ROOT
from benchmarks.peers import agreement, environments
from benchmarks.peers.worker import ARRAYS
from brenier.datasets import CostPair, Pair
from brenier.transport.costs import Cost, Power, cost_to_json

RATES = (5e-4, 2e-3)
LARGE = 64  # dimensions from which the paper of the expectile dual has a larger network
WORKERS = {"brenier": "own", "ott-jax": "ott_jax", "pot": "pot"}
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
GRACE = 900.0  # seconds beside the training after which a worker is stopped


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A method of a peer: the peer, the name in the rows, and what its worker receives."""

    peer: str
    name: str
    settings: dict[str, Any]


EXPECTILE: dict[str, Any] = {
    "kind": "expectile",
    "widths": [128] * 4,
    "expectile": 0.99,
    "weight": 1.0,
}
LARGE_EXPECTILE = {
    **EXPECTILE,
    "widths": [512] * 3,
    "expectile": 0.9,
    "weight": 0.3,
}
OURS = {"default": "default", "published settings": "paper"}
EPSILONS = (0.1, 0.01, 0.0025)  # of the mean cost, for the entropic map with a cost
MOST_STEPS = 2000  # of Sinkhorn
PLANS = ("exact plan", "entropic map", "linear map", "kernel map")


def recipes(dim: int, peers: Sequence[str]) -> Iterator[Recipe]:
    """Yield the methods of these peers in a dimension."""
    for peer in peers:
        if peer == "brenier":
            for name, preset in OURS.items():
                yield Recipe(peer, f"brenier, {name}", {"preset": preset})
        elif peer == "ott-jax":
            yield from _duals(peer, dim)
        else:
            for name in PLANS:
                yield Recipe(peer, f"POT, {name}", {"name": name})


def cost_recipes(cost: Cost, peers: Sequence[str]) -> Iterator[Recipe]:
    """Yield the methods of these peers that know a cost, in any dimension."""
    told = {"cost": cost_to_json(cost)}
    if "brenier" in peers:
        yield Recipe("brenier", "brenier, default", {"preset": "default", **told})
    if "ott-jax" not in peers:
        return
    for rate in RATES:
        title = f"ott-jax, expectile dual, 4 x 128, rate {rate:g}"
        yield Recipe("ott-jax", title, {**EXPECTILE, "rate": rate, **told})
    for epsilon in EPSILONS:
        settings = {"kind": "entropic", "epsilon": epsilon, "most_steps": MOST_STEPS}
        title = f"ott-jax, entropic map, epsilon {epsilon:g}"
        yield Recipe("ott-jax", title, {**settings, **told})


def _duals(peer: str, dim: int) -> Iterator[Recipe]:
    duals = {"expectile dual, 4 x 128": EXPECTILE, "W2 dual": {"kind": "w2"}}
    if dim >= LARGE:
        duals["expectile dual, 3 x 512"] = LARGE_EXPECTILE
    for name, settings in duals.items():
        for rate in RATES:
            title = f"ott-jax, {name}, rate {rate:g}"
            yield Recipe(peer, title, {**settings, "rate": rate})


def write_arrays(folder: Path, pair: Pair, pool: int, n: int, seed: int) -> None:
    """Write the pool, and the points to be moved, as workers read them."""
    generator = torch.Generator().manual_seed(seed)
    x, _, z, _ = scores.evaluation_points(pair, n, seed)
    arrays = (pair.source(pool, generator), pair.target(pool, generator), x, z)
    for name, array in zip(ARRAYS, arrays, strict=True):
        np.save(folder / f"{name}.npy", array.numpy())


def run_worker(
    folder: Path, recipe: Recipe, seconds: float, threads: int, seed: int
) -> None:
    """Let the worker of a recipe answer in the folder.

    Raises:
        RuntimeError: where it fails, with the last line it wrote.
        subprocess.TimeoutExpired: where it takes too long.
    """
    for name in ("answer.npz", "answer.json"):
        (folder / name).unlink(missing_ok=True)
    job = {
        "recipe": recipe.settings,
        "seconds": seconds,
        "threads": threads,
        "seed": seed,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    environment = (
        os.environ | dict.fromkeys(THREADS, str(threads)) | {"JAX_PLATFORMS": "cpu"}
    )
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    module = f"benchmarks.peers.{WORKERS[recipe.peer]}"
    command = [
        str(environments.python(recipe.peer)),
        "-W",
        "ignore",
        "-m",
        module,
        str(folder),
    ]
    limit = 2 * seconds + GRACE
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"{module}: {lines[-1]}")


def read_answer(folder: Path, pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the errors of what a worker answered, with the numbers it gave."""
    with np.load(folder / "answer.npz", allow_pickle=False) as answer:
        moved = torch.from_numpy(answer["forward"]).double()
        back = torch.from_numpy(answer["backward"]).double()
    numbers = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    wrong = {
        f"{side}_uvp": float("nan")
        for side, images in (("forward", moved), ("backward", back))
        if not bool(images.isfinite().all())
    }
    x, truth, *_ = scores.evaluation_points(pair, n, seed)
    # In single precision, which is that of some peers: else no coordinate would stay exactly where it is.
    zeros = costs.exact_zeros(x.float(), moved.float(), truth.float())
    return (wrong or scores.score_images(moved, back, pair, n, seed)) | zeros | numbers


def problems(flags: Flags) -> Iterator[Choice]:
    """Yield the pairs for other costs that the flags choose, or else those of the squared distance."""
    if not flags.costs:
        yield from pairs.problems(flags)
    for name in flags.costs:
        of_name = costs.PAIRS[name]
        for dim in of_name.dims:
            if dim in flags.dims or "--dims" not in flags.arguments:
                yield Choice(f"{name} d={dim}", of_name.make(dim), {"dim": dim})


def methods(flags: Flags, pair: Pair) -> Iterator[Choice]:
    settings = {
        "max_time": flags.seconds,
        "pool": flags.pool,
        "fresh": flags.points,
    }
    if flags.agreement:
        for twin in agreement.twins(EXPECTILE):
            if any(word in twin.name for word in flags.methods):
                name = f"{twin.name}, {flags.seconds:.0f} s"
                yield Choice(name, twin, settings)
        return
    known = recipes(pair.dim, flags.ready)
    if isinstance(pair, CostPair):
        known = cost_recipes(pair.cost, flags.ready)
    for recipe in known:
        if recipe.name in flags.wanted:
            name = f"{recipe.name}, {flags.seconds:.0f} s"
            yield Choice(name, recipe, {**settings, **recipe.settings})


class Written(NamedTuple):
    """A pair, and the folder with its pool."""

    pair: Pair
    folder: Path


@contextlib.contextmanager
def prepare(pair: Pair, seed: int, flags: Flags) -> Iterator[Written]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_arrays(folder, pair, flags.pool, flags.points, seed)
        yield Written(pair, folder)


def measure(
    written: Written, recipe: Recipe | agreement.Twin, seed: int, flags: Flags
) -> dict[str, Any]:
    if isinstance(recipe, agreement.Twin):

        def by(peer: str) -> agreement.Measure:
            return lambda told: measure(written, Recipe(peer, peer, told), seed, flags)

        return agreement.compare(recipe, by("ott-jax"), by("brenier"))
    pair, folder = written
    run_worker(folder, recipe, flags.seconds, flags.threads, seed)
    return read_answer(folder, pair, flags.points, seed)


def ready(peers: Sequence[str]) -> list[str]:
    """Return the peers that have an environment; print how to make those of the others."""
    missing = {peer: environments.missing(peer) for peer in peers}
    for advice in filter(None, missing.values()):
        print(f"skipped: {advice}", flush=True)
    return [peer for peer in peers if not missing[peer]]


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    """Find the methods whose names hold the words of `--methods`, and the peers that can run."""
    known = [*recipes(LARGE, flags.peers), *cost_recipes(Power(2.0), flags.peers)]
    names = list(dict.fromkeys(each.name for each in known))
    flags.wanted = set()
    for word in [] if flags.agreement else flags.methods:
        found = [name for name in names if word in name]
        if not found:
            told = ", ".join(names)
            parser.error(f"--methods: no method is called {word!r}; they are {told}")
        flags.wanted.update(found)
    flags.ready = ready(flags.peers)
    if flags.agreement and "ott-jax" not in flags.ready:
        parser.error("--agreement: needs the environment of ott-jax")


TABLE = Table(
    "peers",
    "peers",
    (
        scores.FORWARD,
        scores.BACKWARD,
        Column("of it, worst 1 % of rows", "backward_worst", ".2f"),
        scores.COSINE,
        Column("seconds", "fit_seconds", ".0f"),
        Column("seconds apart", "excluded_seconds", ".0f"),
        scores.STEPS,
        Column("samples used", "used", ",.0f"),
        Column("exactly 0 of what stays, %", "exactly_zero", ".1f"),
        Column("library", "library"),
    ),
    where=lambda row: not agreement.compared(row),
)
TWINS = Table("agreement", "peers", agreement.COLUMNS, agreement.compared)
SHORT = TABLE.short(
    lambda row: (
        row.problem == "w2hd d=16"
        and row.method.endswith(", 60 s")
        and "rate 0.0005" not in row.method  # worse than 0.002 for both duals
    ),
    "forward UVP %",
    "backward UVP %",
    "cosine",
    "samples used",
)
ARGUMENTS = Arguments(
    (
        *pairs.pair_flags(pairs.PAIRS),
        choices("--costs", costs.PAIRS, ()),
        choices("--peers", WORKERS),
        flag(
            "--methods",
            nargs="+",
            default=[""],
            help="words in the names of methods (default all)",
        ),
        flag(
            "--agreement",
            action="store_true",
            help="our own expectile and W2 dual beside those of ott-jax",
        ),
        flag("--seconds", type=float, default=60.0, help="of training (default 60)"),
        flag(
            "--pool",
            type=int,
            default=500_000,
            help="samples a side (default 500,000)",
        ),
    ),
    dims=pairs.DIMS,
    fixed={"points": 16_384},
    quick={"points": 1024, "seconds": 2.0, "pool": 5_000},
    check=_check,
)
BENCHMARK = Benchmark(
    "peers",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, TWINS, SHORT),
    ARGUMENTS,
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
