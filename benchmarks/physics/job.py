"""Physics tables and image patches: from N(0, I) to data and back, beside normalising flows.

    BRENIER_DATA=... python -m benchmarks.physics                                    # ten minutes a fit
    BRENIER_DATA=... python -m benchmarks.physics --sets power gas --methods default affine --minutes 1
    BRENIER_DATA=... python -m benchmarks.physics --scaling minmax --sets hepmass miniboone

Table 2 of "Fixed-Point Neural Optimal Transport without Implicit Differentiation" (Park et al., 2026), on subsets of
the tables of "Masked Autoregressive Flow for Density Estimation" (Papamakarios et al., 2017). A map is trained from
N(0, I), new rows for every batch, to the training rows; everything is measured on test rows, which no method sees:

* default: `OptimalTransport()`; ncf: `CharacteristicFlow()`;
* the names of `brenier.baselines.BASELINES`, with settings `--preset fair` or `published`;
* affine: the normal law with the moments of the training rows; identity: N(0, I) itself;
* real: training rows in place of generated ones, the score of a perfect method (the noise floor).

Trained methods get `--minutes` each, by the seconds of their own process (`--clock cpu`) or of the wall. Scores are
those of `benchmarks/physics/judge.py`. *NLL* is minus the mean log-density of test rows, in the scaled units; rows at
which a method has no density are counted, and not in it. *Latent*: test rows through the inverse map, which is to make
them N(0, I). Features are scaled by the training rows alone.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
    choices,
    flag,
    minutes_flag,
)
from benchmarks.physics import pictures
from benchmarks.physics.judge import Judge, latent_numbers
from benchmarks.physics.methods import (
    CLOCKS,
    CLOSED,
    FLOWS,
    METHODS,
    Budget,
    PhysicsFit,
    fit,
)
from benchmarks.physics.tables import (
    PUBLISHED,
    SCALINGS,
    SETS,
    PhysicsTable,
    read_table,
)

TIMED_ROWS = 10_000  # generated, and inverted


class Problem(NamedTuple):
    """A set and its scaling."""

    name: str
    scaling: str


class Prepared(NamedTuple):
    """What all methods share."""

    table: PhysicsTable
    judge: Judge


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.sets:
        told = name if flags.scaling == "zscore" else f"{name}, {flags.scaling}"
        settings = {"scaling": flags.scaling, "rows": flags.rows}
        yield Choice(told, Problem(name, flags.scaling), settings)


def methods(flags: Flags, problem: Problem) -> Iterator[Choice]:
    for name in flags.methods:
        if name in CLOSED:
            yield Choice(name, name)
            continue
        seconds = 60 * flags.minutes
        given = {"max_time": seconds, "clock": flags.clock, "preset": flags.preset}
        preset = "" if flags.preset == "fair" else f", {flags.preset}"
        yield Choice(f"{name}{preset}, {seconds:g} s", name, given)


@contextlib.contextmanager
def prepare(problem: Problem, seed: int, flags: Flags) -> Iterator[Prepared]:
    """Yield a table, scaled, and what compares rows with its test rows."""
    table = read_table(problem.name, problem.scaling)
    yield Prepared(table, Judge(table.test, seed, flags.rows))


def measure(prepared: Prepared, name: str, seed: int, flags: Flags) -> dict[str, Any]:
    """Fit a method; return how near generated and returned rows are to what they should be."""
    table, judge = prepared
    budget = Budget(60 * flags.minutes, flags.clock, flags.preset)
    fitted = fit(name, table, seed, budget)
    numbers = {
        "dim": table.dim,
        "train_rows": len(table.train),
        "test_rows": len(table.test),
        **fitted.facts,
        **judge.compare(fitted.draw),
        **likelihood(table, fitted, flags.likelihood_rows),
        **latents(table, fitted, seed, flags),
    }
    if name not in CLOSED:
        numbers |= seconds_to_generate(fitted, flags.timed)
    if name == "default":
        pictures.draw(table, fitted, flags.results / f"physics-{table.name}.png")
    return numbers


def likelihood(table: PhysicsTable, fitted: PhysicsFit, most: int) -> dict[str, Any]:
    """Return minus the mean log-density of some test rows, scaled and in the units of the data."""
    if fitted.log_density is None:
        return {}
    rows = some_test_rows(table, most)
    began = time.process_time()
    terms = -torch.as_tensor(fitted.log_density(rows)).double()
    seconds = time.process_time() - began
    known = terms[terms.isfinite()]
    mean = float(known.mean())
    return {
        "nll": mean,
        "nll_error": float(known.std()) / len(known) ** 0.5,
        "nll_median": float(terms.median()),
        "nll_units": mean + table.log_scale,
        "nll_rows": len(terms),
        "no_density": len(terms) - len(known),
        "density_seconds": seconds,
    }


def latents(
    table: PhysicsTable, fitted: PhysicsFit, seed: int, flags: Flags
) -> dict[str, Any]:
    """Return the moments of returned test rows, and the seconds of inverting rows."""
    if fitted.backward is None:
        return {}
    found = latent_numbers(fitted.backward(some_test_rows(table, flags.rows)), seed)
    if not fitted.facts.get("train_seconds"):
        return found
    times = -(-flags.timed // len(table.test))
    rows = table.test.repeat(times, 1)[: flags.timed]
    began = time.process_time()
    fitted.backward(rows)
    return found | {"inverse_seconds": time.process_time() - began}


def seconds_to_generate(fitted: PhysicsFit, n: int) -> dict[str, float]:
    began = time.process_time()
    fitted.draw(n, torch.Generator().manual_seed(0))
    return {"generate_seconds": time.process_time() - began}


def some_test_rows(table: PhysicsTable, most: int) -> Tensor:
    """Return at most so many test rows, the same in every run."""
    order = torch.randperm(len(table.test), generator=torch.Generator().manual_seed(0))
    return table.test[order[:most]]


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    if "--threads" not in flags.arguments:
        flags.threads = 1


def times(name: str, factor: float = 1e4) -> Callable[[Row], float | None]:
    """Return a column's value: a number of a row, times a factor."""

    def value(row: Row) -> float | None:
        found = row.get(name)
        return None if found is None else factor * found

    return value


def _density_seconds(row: Row) -> float | None:
    seconds, rows = row.get("density_seconds"), row.get("nll_rows")
    return 1000 * seconds / rows if rows else None


def _is_trained(row: Row) -> bool:
    return row.method not in CLOSED


def _is_short(row: Row) -> bool:
    """Choose rows of the README: z-scored, and not of what every method is better than."""
    return row.settings["scaling"] == "zscore" and row.method != "identity"


GENERATED = Table(
    "physics",
    "physics",
    (
        Column("d", "dim", ".0f"),
        Column("MMD² x 1e4", times("mmd"), ".2f"),
        Column("± (resamples)", times("mmd_sd"), ".2f"),
        Column("energy x 1e4", times("energy"), ".2f"),
        Column("± (resamples)", times("energy_sd"), ".2f"),
        Column("NLL", "nll", ".2f"),
        Column("± (one standard error)", "nll_error", ".2f"),
        Column("rows without density", "no_density", ".0f", max),
        Column("latent energy x 1e4", times("latent_energy"), ".1f"),
        Column("parameters", "parameters", ".0f"),
        scores.SECONDS,
    ),
)
LITERATURE = Table(
    "physics-published",
    "physics",
    (
        Column("MMD², alpha = 1, V", "published_v", ".3e"),
        Column("its floor 1/n + 1/m", "floor_v", ".3e"),
        Column("MMD², alpha = 1, U", "published_u", ".1e"),
        Column("± (resamples)", "published_u_sd", ".1e"),
        Column("NLL, units of the data", "nll_units", ".2f"),
        Column("NLL, median row", "nll_median", ".2f"),
    ),
)
DETAILS = Table(
    "physics-details",
    "physics",
    (
        Column("training rows", "train_rows", ".0f"),
        Column("test rows", "test_rows", ".0f"),
        Column("largest latent mean", "latent_mean", ".3f", max),
        Column("least latent variance", "latent_variance_least", ".3f", min),
        Column("largest", "latent_variance_most", ".3f", max),
        Column("s to generate 10,000", "generate_seconds", ".2f"),
        Column("s to invert 10,000", "inverse_seconds", ".2f"),
        Column("s per 1,000 densities", _density_seconds, ".2f"),
        scores.SELECTED,
        scores.STEPS,
        scores.STOPPED,
        Column("wall seconds", "wall_training", ".0f"),
    ),
    where=_is_trained,
)
SHORT = GENERATED.short(
    _is_short, "d", "MMD² x 1e4", "energy x 1e4", "NLL", "parameters", "seconds"
)
ARGUMENTS = Arguments(
    (
        choices("--sets", SETS, PUBLISHED),
        choices("--methods", METHODS, ("default", "ncf", *FLOWS, *CLOSED)),
        flag("--scaling", choices=SCALINGS, default="zscore", help="of the features"),
        flag("--preset", choices=("fair", "published"), default="fair"),
        flag("--clock", choices=tuple(CLOCKS), default="cpu", help="of --minutes"),
        minutes_flag(10.0, "10"),
    ),
    fixed={"rows": 5_000, "likelihood_rows": 2_000, "timed": TIMED_ROWS},
    quick={"rows": 500, "likelihood_rows": 100, "timed": 200, "minutes": 0.02},
    check=_check,
)
BENCHMARK = Benchmark(
    "physics",
    __doc__,
    problems,
    methods,
    measure,
    (GENERATED, LITERATURE, DETAILS, SHORT),
    ARGUMENTS,
    prepare=prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
