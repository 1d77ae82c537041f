"""What a map costs: time to learn it, memory on the way, bytes on disk, and time per row in either direction.

    python -m benchmarks.cost                                   # d = 2, 16, 64; a minute a fit
    python -m benchmarks.cost --dims 64 --minutes 20

Pairs of Gaussians as in `gaussians`, endless samples, the identity as start, both methods in the same run ("Fixed-Point
Neural Optimal Transport...", Park et al., 2026, Figure 1). Each row comes from a new process:

* "to 0.5 %": seconds of training until both maps have an error of at most 0.5 % on 4,096 new points, evaluated every
  20 steps (that time is not counted), inner problems solved to 1e-3 throughout; a dash where `--minutes` were too few;
* "training": `OptimalTransport.fit` for `--minutes`; memory is its peak above what the process held before;
* "forward", "inverse": rows moved by the saved map, the inverse by the method's own solver, to its own tolerance.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import gaussians, preset, scores, throughput
from benchmarks.harness import (
    UNLIMITED,
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Once,
    Row,
    Table,
    choices,
    in_new_process,
    machine,
    minutes_flag,
)
from brenier import TransportMap
from brenier.datasets import gaussian_pair

PERCENT = 0.5  # error that training is timed to
EVERY = 20  # steps between two evaluations of the error
POINTS = 4096  # new points that errors are measured on


def reach(method: str, dim: int, seed: int, seconds: float) -> dict[str, Any]:
    """Train in this process until both errors are at most `PERCENT`, or time is up."""
    pair = gaussian_pair(dim, seed)
    run = preset.start_run(
        method,
        pair,
        seed,
        max_steps=UNLIMITED,
        max_time=seconds,
        evaluate_every=UNLIMITED,
    )
    x, _, z, _ = scores.evaluation_points(pair, POINTS, seed)
    transport = TransportMap(run.average)
    reached = False
    while not (reached or run.finished):
        run.advance()
        if run.finished or run.step % EVERY == 0:
            back, _ = transport.inverse(z, return_solution=True)
            errors = scores.score_images(transport(x), back, pair, POINTS, seed)
            worst = max(errors["forward_uvp"], errors["backward_uvp"])
            reached = worst <= PERCENT
    facts = preset.run_facts(run)
    return errors | {
        "reach_seconds": run.seconds if reached else None,
        "reach_steps": run.step if reached else None,
        **{name: facts[name] for name in ("train_seconds", "steps", "rollbacks")},
    }


def train(
    method: str, dim: int, seed: int, seconds: float, folder: str
) -> dict[str, Any]:
    """Fit for some time in this process, save the map, and return what that took."""
    pair = gaussian_pair(dim, seed)
    _fit_little(method, dim, seed)  # first calls load libraries
    before = machine.memory()
    machine.reset_peak()
    ot = preset.fit(
        method,
        pair,
        start="identity",
        max_steps=UNLIMITED,
        max_time=seconds,
        random_state=seed,
    )
    beside = machine.peak_memory() - before
    ot.save(folder)
    facts = scores.training_facts(ot)
    parameters = ot.map_.network.parameters()
    saved = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        **scores.score(ot.map_, pair, POINTS, seed),
        **facts,
        "step_seconds": facts["train_seconds"] / max(1, facts["steps"]),
        "memory_beside_mib": beside,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "saved_kib": saved / 1024,
    }


def _fit_little(method: str, dim: int, seed: int) -> None:
    pair = gaussian_pair(dim, seed)
    x = pair.source(200, torch.Generator().manual_seed(seed))
    z = pair.target(200, torch.Generator().manual_seed(seed))
    preset.fit_to(method, x, z, dim, max_steps=1, random_state=seed)


class Problem(NamedTuple):
    """A dimension and a preset."""

    dim: int
    preset: str


class Fitted(NamedTuple):
    """A problem, its fit, made once for all methods, and the folder that it is saved in."""

    problem: Problem
    facts: Once[dict[str, Any]]
    model: str


def problems(flags: Flags) -> Iterator[Choice]:
    for problem in gaussians.problems(flags):
        for method in flags.methods:
            value = Problem(problem.value, method)
            yield Choice(problem.name, value, problem.settings)


def methods(flags: Flags, problem: Problem) -> Iterator[Choice]:
    seconds = 60 * flags.minutes
    forward, back = flags.rows
    for kind, text, more in (
        (f"to {PERCENT} %", f"{seconds:.0f} s at most", {}),
        ("training", f"{seconds:.0f} s", {}),
        ("forward", f"{forward:,} rows", {"rows": forward}),
        ("inverse", f"{back:,} rows", {"rows": back}),
    ):
        settings = {"max_time": seconds, "kind": kind, **more}
        yield Choice(f"{problem.preset}, {kind}, {text}", kind, settings)


@contextlib.contextmanager
def prepare(problem: Problem, seed: int, flags: Flags) -> Iterator[Fitted]:
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        arguments = problem.preset, problem.dim, seed, 60 * flags.minutes, model
        fit = partial(in_new_process, flags.threads, train, *arguments)
        yield Fitted(problem, Once(fit), model)


def measure(fitted: Fitted, kind: str, seed: int, flags: Flags) -> dict[str, Any]:
    dim, name = fitted.problem
    if kind not in ("training", "forward", "inverse"):
        arguments = name, dim, seed, 60 * flags.minutes
        return in_new_process(flags.threads, reach, *arguments)
    facts = fitted.facts()
    if kind == "training":
        return facts
    forward, back = flags.rows
    inverse = kind == "inverse"
    job = throughput.Job(
        fitted.model,
        back if inverse else forward,
        dim,
        inverse,
        mapped=False,
        pair=partial(gaussian_pair, seed=seed),
    )
    return in_new_process(flags.threads, throughput.move_points, job)


def _microseconds(row: Row) -> float | None:
    rate = row.get("rows_per_second")
    return 1e6 / rate if rate else None


def _moves_rows(row: Row) -> bool:
    return "rows" in row.settings


TRAINING = Table(
    "cost-training",
    "cost",
    (
        Column("seconds to 0.5 % both ways", "reach_seconds", ".1f", max),
        Column("steps to it", "reach_steps", ".0f", max),
        Column("seconds per step", "step_seconds", ".3f"),
        scores.FORWARD,
        scores.BACKWARD,
        Column("peak memory, MiB", "memory_beside_mib", ",.0f", max),
        Column("parameters", "parameters", ",.0f"),
        Column("saved, KiB", "saved_kib", ",.0f"),
        scores.STEPS,
        scores.SECONDS,
    ),
    where=lambda row: not _moves_rows(row),
)
INFERENCE = Table(
    "cost-inference",
    "cost",
    (
        Column("microseconds per row", _microseconds, ".2f"),
        Column("memory beside, MiB", "memory_beside_mib", ",.0f", max),
        Column("finite", "finite"),
        Column("warnings", "inverse_warnings", ".0f", max),
    ),
    where=_moves_rows,
)
SHORT = TRAINING.short(
    lambda row: row.settings["kind"].startswith("to") and row.get("dim") != 2,
    "seconds to 0.5 % both ways",
    "forward UVP %",
    "backward UVP %",
)
BENCHMARK = Benchmark(
    "cost",
    __doc__,
    problems,
    methods,
    measure,
    (TRAINING, INFERENCE, SHORT),
    Arguments(
        (
            choices("--methods", preset.METHODS),
            minutes_flag(1.0, "1"),
        ),
        dims=(2, 16, 64),
        fixed={"rows": (1_000_000, 5_000)},
        quick={"rows": (20_000, 500), "minutes": 2 / 60},
    ),
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
