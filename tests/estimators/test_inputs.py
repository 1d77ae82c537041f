"""Whatever numbers a fit is given, it ends in finite results or an error of ours, in little time and memory."""

import resource
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from nasty import Case, cases, go_through

SECONDS, GIGABYTES = 20.0, 1.0
LIKE = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def peak() -> float:
    """The most memory that this process has had, in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def check(case: Case) -> None:
    """One case: nothing but this library's errors, nothing that is not finite, nothing large or long."""
    began, before = time.perf_counter(), peak()
    go_through(case)
    assert time.perf_counter() - began < SECONDS
    assert peak() - before < GIGABYTES


@settings(LIKE, max_examples=8)
@given(cases())
def test_a_few_inputs_of_all_kinds(case: Case) -> None:
    check(case)


@pytest.mark.slow
@settings(LIKE, max_examples=5000)
@given(cases())
def test_many_inputs_of_all_kinds(case: Case) -> None:
    check(case)


NOTED = [
    # Results beyond single precision where samples are within.
    Case(("float32", "huge"), (20, 20), 2, "none", {"max_steps": 1}, 5),
    # No spread on either side, and on one.
    Case(("constant", "constant"), (2, 9), 3, "none", {"max_steps": 2}, 1),
    Case(("normal", "equal"), (30, 12), 3, "none", {"max_steps": 2}, 2),
    Case(("bools", "one-hot"), (30, 40), 8, "none", {"max_steps": 2}, 3),
    Case(("normal", "same"), (3, 3), 8, "none", {"max_steps": 2}, 4),
]


@pytest.mark.parametrize("case", NOTED, ids=str)
def test_inputs_of_note(case: Case) -> None:
    check(case)
