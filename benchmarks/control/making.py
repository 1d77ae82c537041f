"""Methods by name: what is trained, by the default of the library or as published, and what is not."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks.control.cases import Budget, Case
from benchmarks.control.published import PUBLISHED, train_as_published
from benchmarks.control.training import Made, control_of, train, untrained
from brenier.control import Consumption, ControlProblem, FeedbackPolicy, KnownValue

TRAINED = ("default", "implicit", "published")
METHODS = (*TRAINED, "exact", "linear", "nothing")


def available(method: str, problem: ControlProblem) -> bool:
    """Say whether a problem has a method."""
    if method == "published":
        return type(problem) in PUBLISHED
    if method == "exact":
        return isinstance(problem, KnownValue)
    if method == "linear":
        return isinstance(problem, Consumption)
    return True


@functools.lru_cache(maxsize=8)
def made(case: Case, method: str, seed: int, budget: Budget) -> Made:
    """Return the policy of a method; of one key it is made once, for all tables."""
    problem = case.problem
    if method == "published":
        return train_as_published(problem, seed, budget)
    if method in TRAINED:
        return train(control_of(problem, seed, budget, **_gradient(method)))
    return Made(FeedbackPolicy(untrained(method, problem)), {})


def _gradient(method: str) -> dict[str, Any]:
    """Return what differs from the default."""
    return {} if method == "default" else {"gradient": method}
