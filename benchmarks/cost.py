"""What a map costs: time to learn it, memory on the way, bytes on disk, and time per row in either direction.

    python -m benchmarks.cost                                   # d = 2, 16, 64; a minute a fit
    python -m benchmarks.cost --dims 64 --minutes 20

Pairs of Gaussians as in `gaussians`, endless samples, the identity as start, both methods in the same run ("Fixed-Point
Neural Optimal Transport...", Park et al., 2026, Figure 1). Each row comes from a fresh process:

* "to 0.5 %": seconds of training until both maps err by at most 0.5 % on 4,096 fresh points, looked at every 20 steps
  (that time is not counted), inner problems solved to 1e-3 throughout; a dash where `--minutes` were not enough;
* "training": `OptimalTransport.fit` for `--minutes`; memory is its peak above what the process held before;
* "forward", "inverse": rows moved by the saved map, the inverse by the method's own solver, to its own tolerance.
"""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine, options, preset, tables, throughput
from benchmarks.rows import Ledger
from benchmarks.scores import fresh, score, score_images, training
from benchmarks.tables import Column, Table
from brenier import TransportMap
from brenier.datasets import gaussian_pair

DIMS = (2, 16, 64)
MINUTES = 1.0  # of training
PERCENT = 0.5  # error that training is timed to
LOOK = 20  # steps between two looks at the error
POINTS = 4096  # fresh points that errors are measured on


def apart(measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Return what a function measures in a fresh process."""
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        return pool.submit(measure, *arguments).result()


def reach(
    method: str, dim: int, seed: int, seconds: float, threads: int
) -> dict[str, Any]:
    """Train in this process until both maps err by at most `PERCENT`, or time is up."""
    torch.set_num_threads(threads)
    pair = gaussian_pair(dim, seed)
    run = preset.start_run(
        method,
        pair,
        seed,
        max_steps=options.UNLIMITED,
        max_time=seconds,
        evaluate_every=options.UNLIMITED,
    )
    x, _, z, _ = fresh(pair, POINTS, seed)
    transport = TransportMap(run.average)
    while True:
        run.advance()
        done = bool(run.finished)
        if done or run.step % LOOK == 0:
            errors = score_images(
                transport(x),
                transport.inverse(z, return_solution=True)[0],
                pair,
                POINTS,
                seed,
            )
            reached = max(errors["forward_uvp"], errors["backward_uvp"]) <= PERCENT
            if done or reached:
                break
    return errors | {
        "reach_seconds": run.seconds if reached else None,
        "reach_steps": run.step if reached else None,
        "train_seconds": run.seconds,
        "steps": run.step,
        "setbacks": run.setbacks,
    }


def train(
    method: str, dim: int, seed: int, seconds: float, threads: int, folder: str
) -> dict[str, Any]:
    """Fit for some time in this process, save the map, and return what that took."""
    torch.set_num_threads(threads)
    pair = gaussian_pair(dim, seed)
    x, z = (
        draw(200, torch.Generator().manual_seed(seed))
        for draw in (pair.source, pair.target)
    )
    preset.fit_to(
        method, x, z, dim, max_steps=1, random_state=seed
    )  # first calls load libraries
    before = machine.memory()
    machine.reset_peak()
    changes = {
        "start": "identity",
        "max_steps": options.UNLIMITED,
        "max_time": seconds,
        "random_state": seed,
    }
    ot = preset.fit(method, pair, **changes)
    beside = machine.peak_memory() - before
    ot.save(folder)
    facts = training(ot)
    return (
        score(ot.map_, pair, POINTS, seed)
        | facts
        | {
            "step_seconds": facts["train_seconds"] / max(1, facts["steps"]),
            "memory_beside_mib": beside,
            "parameters": sum(
                parameter.numel() for parameter in ot.map_.network.parameters()
            ),
            "saved_kib": sum(file.stat().st_size for file in Path(folder).iterdir())
            / 1024,
        }
    )


def run(ledger: Ledger, method: str, dim: int, seed: int, flags: Any) -> None:
    """Record a row for the time to an error, for a fit, and for either direction."""
    seconds = 2.0 if flags.quick else 60 * flags.minutes
    forward, back = (20_000, 500) if flags.quick else (1_000_000, 5_000)
    settings = {"dim": dim, "max_time": seconds}

    def record(name: str, measure: Callable[[], dict[str, Any]], **more: Any) -> None:
        ledger.record(
            f"d={dim}",
            f"{method}, {name}",
            seed,
            measure,
            **settings,
            kind=name.split(",")[0],
            **more,
        )

    told = (method, dim, seed, seconds, flags.threads)
    record(f"to {PERCENT} %, {seconds:.0f} s at most", partial(apart, reach, *told))
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        record(f"training, {seconds:.0f} s", partial(apart, train, *told, model))
        for direction, rows in (("forward", forward), ("inverse", back)):
            job = throughput.Job(
                model,
                rows,
                dim,
                direction == "inverse",
                False,
                flags.threads,
                3,
                partial(gaussian_pair, seed=seed),
            )
            record(
                f"{direction}, {rows:,} rows",
                partial(throughput.measure, job),
                rows=rows,
            )


def _microseconds(row: Any) -> float | None:
    rate = row.get("rows_per_second")
    return 1e6 / rate if rate else None


TABLES = (
    Table(
        "cost-training",
        "cost",
        (
            Column("seconds to 0.5 % both ways", "reach_seconds", ".1f", max),
            Column("steps to it", "reach_steps", ".0f", max),
            Column("seconds per step", "step_seconds", ".3f"),
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("peak memory, MiB", "memory_beside_mib", ",.0f", max),
            Column("parameters", "parameters", ",.0f"),
            Column("saved, KiB", "saved_kib", ",.0f"),
            Column("steps", "steps", ".0f"),
            Column("seconds", "train_seconds", ".0f"),
        ),
        where=lambda row: "rows" not in row.settings,
    ),
    Table(
        "cost-inference",
        "cost",
        (
            Column("microseconds per row", _microseconds, ".2f"),
            Column("memory beside, MiB", "memory_beside_mib", ",.0f", max),
            Column("finite", "finite"),
            Column("warnings", "inverse_warnings", ".0f", max),
        ),
        where=lambda row: "rows" in row.settings,
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(preset.METHODS),
        default=list(preset.METHODS),
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help="training time per fit (default 1)",
    )
    flags = options.parse(parser, arguments)
    with options.open_ledger("cost", flags) as ledger:
        for dim, method, seed in itertools.product(
            flags.dims, flags.methods, flags.seeds
        ):
            run(ledger, method, dim, seed, flags)
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
