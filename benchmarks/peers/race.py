"""Other libraries and this one side by side: the same pairs, samples, cores and seconds, one command.

    python -m benchmarks.peers.environments ott-jax pot              # once: an environment for each peer
    BRENIER_DATA=... python -m benchmarks.peers                      # every method on every pair, 60 s each
    python -m benchmarks.peers --pairs tails --dims 16 --peers brenier ott-jax --seconds 20
    python -m benchmarks.peers --dims 64 --seconds 300 --methods brenier "W2 dual"    # those with such a name

Pairs are those of the Wasserstein-2 benchmark and of `brenier.datasets.NEUTRAL`. Every method is a process of its own,
in an environment of its own (`peers/*.txt`), on `--threads` cores. All draw from one pool of `--pool` samples a side
(500,000), which stands for an endless stream and was drawn before; all are scored here, on 16,384 fresh points.

* brenier: `OptimalTransport()`, nothing set but the time; and the published settings (`benchmarks/preset.py`).
* ott-jax: the expectile and the W2 neural dual with their published settings, two learning rates each, and from d = 64
  on two sizes of the former. Each is a row; who takes the best of them by its error flatters the peer.
* POT: exact plan, entropic, linear and kernel map, from as many rows of the pool as the time allows (`peers/pot.py`).

`--seconds` are seconds of training. Starting Python, importing, reading the pool, what ott-jax compiles ("seconds
apart") and moving the points of the score are not counted. Fits in closed form take what they take.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import neutral, options, tables
from benchmarks.finite import PAIRS, add_pairs, choose
from benchmarks.machine import ROOT
from benchmarks.peers import environments
from benchmarks.peers.worker import ARRAYS
from benchmarks.scores import fresh, score_images
from benchmarks.tables import Column, Table
from brenier.datasets import Pair

DIMS = (2, 16, 64)
RATES = (5e-4, 2e-3)
LARGE = 64  # dimensions from which the expectile dual's paper takes a larger network
WORKERS = {"brenier": "own", "ott-jax": "ott_jax", "pot": "pot"}
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
GRACE = 900.0  # seconds beside the training after which a worker is taken to hang


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A method of a peer: whose it is, what it is called, and what its worker is told."""

    peer: str
    name: str
    settings: dict[str, Any]


def recipes(dim: int, peers: Sequence[str]) -> Iterator[Recipe]:
    """Yield the methods of these peers in a dimension."""
    small: dict[str, Any] = {
        "kind": "expectile",
        "widths": [128] * 4,
        "expectile": 0.99,
        "weight": 1.0,
    }
    large: dict[str, Any] = {
        "kind": "expectile",
        "widths": [512] * 3,
        "expectile": 0.9,
        "weight": 0.3,
    }
    duals: dict[str, dict[str, Any]] = {
        "expectile dual, 4 x 128": small,
        "W2 dual": {"kind": "w2"},
    }
    if dim >= LARGE:
        duals["expectile dual, 3 x 512"] = large
    for peer in peers:
        if peer == "brenier":
            for name, preset in (
                ("default", "default"),
                ("published settings", "paper"),
            ):
                yield Recipe(peer, f"brenier, {name}", {"preset": preset})
        elif peer == "ott-jax":
            for name, settings in duals.items():
                for rate in RATES:
                    yield Recipe(
                        peer,
                        f"ott-jax, {name}, rate {rate:g}",
                        {**settings, "rate": rate},
                    )
        else:
            for name in ("exact plan", "entropic map", "linear map", "kernel map"):
                yield Recipe(peer, f"POT, {name}", {"name": name})


def write_arrays(folder: Path, pair: Pair, pool: int, n: int, seed: int) -> None:
    """Write the pool and the points to be moved, as workers read them."""
    generator = torch.Generator().manual_seed(seed)
    x, _, z, _ = fresh(pair, n, seed)
    arrays = (pair.source(pool, generator), pair.target(pool, generator), x, z)
    for name, array in zip(ARRAYS, arrays, strict=True):
        np.save(folder / f"{name}.npy", array.numpy())


def run_worker(
    folder: Path, recipe: Recipe, seconds: float, threads: int, seed: int
) -> None:
    """Let the worker of a recipe answer in the folder.

    Raises:
        RuntimeError: where it fails, with the last line it wrote.
        subprocess.TimeoutExpired: where it hangs.
    """
    for name in ("answer.npz", "answer.json"):
        (folder / name).unlink(missing_ok=True)
    told = {
        "recipe": recipe.settings,
        "seconds": seconds,
        "threads": threads,
        "seed": seed,
    }
    (folder / "job.json").write_text(json.dumps(told), encoding="utf-8")
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
        moved, back = (
            torch.from_numpy(answer[side]).double() for side in ("forward", "backward")
        )
    numbers = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    finite = {"forward": moved, "backward": back}
    lost = {
        f"{side}_uvp": float("nan")
        for side, images in finite.items()
        if not bool(images.isfinite().all())
    }
    return (lost or score_images(moved, back, pair, n, seed)) | numbers


def measure(
    folder: Path,
    recipe: Recipe,
    pair: Pair,
    n: int,
    seed: int,
    seconds: float,
    threads: int,
) -> dict[str, Any]:
    run_worker(folder, recipe, seconds, threads, seed)
    return read_answer(folder, pair, n, seed)


TABLES = (
    Table(
        "peers",
        "peers",
        (
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("of it, worst 1 % of rows", "backward_worst", ".2f"),
            Column("cosine", "cosine", ".4f"),
            Column("seconds", "fit_seconds", ".0f"),
            Column("seconds apart", "excluded_seconds", ".0f"),
            Column("steps", "steps", ".0f"),
            Column("samples used", "used", ",.0f"),
            Column("library", "library"),
        ),
    ),
)


def ready(peers: Sequence[str]) -> list[str]:
    """Return the peers that have an environment, and tell how to make those of the others."""
    missing = {peer: told for peer in peers if (told := environments.missing(peer))}
    for told in missing.values():
        print(f"skipped: {told}", flush=True)
    return [peer for peer in peers if peer not in missing]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    add_pairs(parser, PAIRS)
    parser.add_argument(
        "--peers", nargs="+", choices=tuple(WORKERS), default=list(WORKERS)
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[""],
        help="words that names of methods hold (default all)",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of training (default 60)"
    )
    parser.add_argument(
        "--pool", type=int, default=500_000, help="samples a side (default 500,000)"
    )
    flags = options.parse(parser, arguments)
    names = [recipe.name for recipe in recipes(LARGE, flags.peers)]
    wanted: set[str] = set()
    for word in flags.methods:
        found = [name for name in names if word in name]
        if not found:
            parser.error(
                f"--methods: no method is called {word!r}; they are {', '.join(names)}"
            )
        wanted.update(found)
    seconds, pool, points = (
        (2.0, 5_000, 1024) if flags.quick else (flags.seconds, flags.pool, 16_384)
    )
    peers = ready(flags.peers)
    with (
        options.open_ledger("peers", flags) as ledger,
        tempfile.TemporaryDirectory() as place,
    ):
        folder = Path(place)
        for pair in choose(flags.pairs, flags.dims, flags.manifold_dims):
            for seed in flags.seeds:
                write_arrays(folder, pair, pool, points, seed)
                for recipe in (
                    each for each in recipes(pair.dim, peers) if each.name in wanted
                ):
                    run = partial(
                        measure,
                        folder,
                        recipe,
                        pair,
                        points,
                        seed,
                        seconds,
                        flags.threads,
                    )
                    settings = {
                        "dim": pair.dim,
                        "max_time": seconds,
                        "pool": pool,
                        "fresh": points,
                        **recipe.settings,
                    }
                    ledger.record(
                        neutral.problem(pair),
                        f"{recipe.name}, {seconds:.0f} s",
                        seed,
                        run,
                        **settings,
                    )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
