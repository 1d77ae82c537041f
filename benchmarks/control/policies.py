"""Trained policies by problem, beside policies that need no making."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.control import making
from benchmarks.control.cases import CASES, Budget, Case, chosen
from benchmarks.control.judge import judge
from benchmarks.harness import Choice, Column, Flags, Row, Table

UNCONVERGED = Column("unconverged %", "unconverged_percent", ".2f", max)
RATIO = Column("over the optimum", "ratio", ".4f")
STEPS = Column("steps", "steps", ".0f")
SECONDS = Column("seconds", "train_seconds", ".0f")
STEP_SECONDS = Column("seconds per step", "step_seconds", ".3f")


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen(flags, CASES):
        settings = {"asked": case.asked, "states": case.problem.state_dim}
        yield Choice(case.name, case, settings)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    budget = Budget.of(flags, case.minutes)
    for name in making.METHODS:
        if name not in flags.methods or not making.available(name, case.problem):
            continue
        trained = name in making.TRAINED
        text = f"{name}, {budget}" if trained else name
        yield Choice(text, (name, budget), {"max_time": budget.seconds})


def measure(
    case: Case, method: tuple[str, Budget], seed: int, flags: Flags
) -> dict[str, Any]:
    """Make a policy, and return how good it is."""
    name, budget = method
    found = making.made(case, name, seed, budget)
    return judge(found.policy, case, seed, flags) | found.facts


def is_of(table: str, row: Row) -> bool:
    """Say whether a row is of a table."""
    return row.settings.get("table") == table


def met(row: Row) -> bool | None:
    """Say whether a trained policy costs no more than is asked, with all controls converged."""
    asked, found = row.get("asked"), row.get("ratio")
    trained = row.method.split(",")[0] in ("default", "implicit")
    if asked is None or found is None or not trained:
        return None
    return row.status == "ok" and found <= asked


TABLE = Table(
    "control",
    "control",
    (
        Column("cost", "cost", ".5g"),
        Column("optimum", "optimum", ".5g"),
        RATIO,
        Column("asked", "asked", ".2f"),
        Column("met", met),
        Column("worst state", "worst_ratio", ".3f", max),
        UNCONVERGED,
        Column("largest residual", "largest_residual", ".1e", max),
        Column("HJB gap", "hjb_gap", ".1e"),
        Column("costate error %", lambda row: percent(row, "costate_error"), ".2f"),
        Column("states 0.1 % below the optimum", "below", ".0f", max),
        STEPS,
        SECONDS,
    ),
    where=lambda row: is_of("policies", row),
)


def percent(row: Row, name: str) -> float | None:
    """Return a number of a row in percent."""
    value = row.get(name)
    return None if value is None else 100 * value


SHOWN = (
    *("regulator", "exponential-100", "quadrotor"),
    *("bicycle", "bicycle-reversed", "consumption"),
)


def _is_shown(row: Row) -> bool:
    published = row.problem == "quadrotor" and row.method.startswith("published")
    return published or (row.problem in SHOWN and row.method.startswith("default"))


SHORT = TABLE.short(
    _is_shown,
    *(column.title for column in TABLE.columns[:5]),
    UNCONVERGED.title,
    SECONDS.title,
)
