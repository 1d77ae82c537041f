"""What a fit chooses where the user has not: the table that the docstring of `OptimalTransport` tells."""

import dataclasses
import math
from typing import Any

import pytest

from brenier import Budget
from brenier.statistics import reference_bandwidth

MANY = 100_000
MINUTE = 60.0


def budget(
    rows: float = MANY,
    dim: int = 16,
    steps: int | None = None,
    seconds: float | None = None,
    **fields: Any,
) -> Budget:
    """A budget of many rows, unless told otherwise."""
    return Budget(rows, dim, steps, seconds, **fields)


# ---- steps


@pytest.mark.parametrize(
    ("rows", "steps"),
    [
        (2, 100),
        (100, 100),
        (111, 100),
        (112, 100),
        (1000, 300),
        (10_000, 949),
        (50_000, 2121),
        (100_000, 3000),
        (10**9, 3000),
        (math.inf, 3000),
    ],
)
def test_steps_by_default_are_3000_or_fewer_for_few_rows(
    rows: float, steps: int
) -> None:
    assert budget(rows).max_steps == steps


@pytest.mark.parametrize("rows", [2, 1000, math.inf])
def test_steps_asked_for_are_taken(rows: float) -> None:
    assert budget(rows, steps=7).max_steps == 7
    assert budget(rows, steps=7, seconds=1.0).max_steps == 7


@pytest.mark.parametrize("rows", [2, 1000, math.inf])
def test_where_seconds_are_given_there_are_as_many_steps_as_they_allow(
    rows: float,
) -> None:
    assert budget(rows, seconds=1.0).max_steps == math.inf


def test_steps_never_fall_as_rows_grow() -> None:
    found = [budget(10 ** (k / 4)).max_steps for k in range(2, 28)]
    assert found == sorted(found)


# ---- long runs, and longer ones

# (steps, seconds): whether that is long, and whether longer
RUNS: dict[tuple[int | None, float | None], tuple[bool, bool]] = {
    (None, None): (False, False),
    (4999, None): (False, False),
    (5000, None): (True, False),
    (9999, None): (True, False),
    (10_000, None): (True, True),
    (None, 3 * MINUTE - 1): (False, False),
    (None, 3 * MINUTE): (True, False),
    (None, 10 * MINUTE - 1): (True, False),
    (None, 10 * MINUTE): (True, True),
    (100_000, 1.0): (False, False),  # the seconds decide where both are given
    (1, 10 * MINUTE): (True, True),
}


@pytest.mark.parametrize(("steps", "seconds"), RUNS)
def test_runs_are_long_from_3_minutes_or_5000_steps_on(
    steps: int | None, seconds: float | None
) -> None:
    found = budget(steps=steps, seconds=seconds)
    assert (found.is_long, found.is_longer) == RUNS[steps, seconds]


@pytest.mark.parametrize(("steps", "seconds"), RUNS)
@pytest.mark.parametrize("rows", [1000, MANY - 1, MANY, math.inf])
def test_layers(rows: float, steps: int | None, seconds: float | None) -> None:
    """Three by default; with 100,000 rows four in long runs, and in longer ones five, or seven for d <= 8."""
    long, longer = RUNS[steps, seconds]
    found = budget(rows, steps=steps, seconds=seconds)
    for dim in (1, 2, 8, 9, 16, 300):
        expected = None
        if rows >= MANY and long:
            expected = (7 if dim <= 8 else 5) if longer else 4
        assert found.layers(dim) == expected


@pytest.mark.parametrize(("steps", "seconds"), RUNS)
def test_solved_rows_are_reused_in_short_runs(
    steps: int | None, seconds: float | None
) -> None:
    long, _ = RUNS[steps, seconds]
    for rows in (1000, math.inf):
        found = budget(rows, steps=steps, seconds=seconds)
        assert found.max_reuse == (1 if long else 3)


# ---- networks


@pytest.mark.parametrize(
    ("rows", "steps", "seconds", "networks"),
    [
        (1000, None, None, 2),
        (MANY - 1, None, None, 2),
        (MANY, None, None, 1),
        (math.inf, None, None, 1),
        (1000, 10_000, None, 1),
        (1000, None, 5 * MINUTE - 1, 1),
        (1000, None, 5 * MINUTE, 2),
        (math.inf, None, 5 * MINUTE, 2),
        (1000, 50, 5 * MINUTE, 2),
    ],
)
def test_two_networks_where_seconds_are_many_or_rows_few(
    rows: float, steps: int | None, seconds: float | None, networks: int
) -> None:
    assert budget(rows, steps=steps, seconds=seconds).networks == networks


@pytest.mark.parametrize(
    ("dim", "seconds", "networks"),
    [
        (2, 5 * MINUTE, 2),
        (16, 5 * MINUTE, 2),
        (50, 5 * MINUTE, 2),
        (51, 5 * MINUTE, 1),
        (128, 5 * MINUTE, 1),
        (128, 8 * MINUTE, 2),
        (784, 10 * MINUTE, 1),
    ],
)
def test_where_steps_are_slow_one_network_takes_them_all(
    dim: int, seconds: float, networks: int
) -> None:
    assert budget(dim=dim, seconds=seconds).networks == networks


# ---- batches


@pytest.mark.parametrize(
    ("rows", "largest"),
    [(100, 12), (8000, 1000), (65_535, 8191), (65_536, 8192), (math.inf, 8192)],
)
def test_batches_grow_up_to_8192_or_an_eighth_of_the_smaller_side(
    rows: float, largest: int
) -> None:
    assert budget(rows).largest_batch == largest
    assert budget(rows).first_batch == 1024


@pytest.mark.parametrize(
    ("rows", "steps"), [(2, 20), (4999, 20), (5000, 100), (math.inf, 100)]
)
def test_evaluations_are_100_steps_apart_or_20(rows: float, steps: int) -> None:
    assert budget(rows).evaluate_every == steps


def test_rows_may_be_overfitted_after_50_passes() -> None:
    assert budget(1000).fresh_rows == 50_000
    assert budget(math.inf).fresh_rows == math.inf


# ---- bandwidths


@pytest.mark.parametrize(("dim", "expected"), [(2, 0.1), (16, 0.2)])
def test_bandwidths_of_1000_rows(dim: int, expected: float) -> None:
    assert round(budget(1000, dim).bandwidth("affine"), 1) == expected


def test_bandwidths_are_less_for_more_rows_and_none_for_streams() -> None:
    found = [budget(10**k).bandwidth("affine") for k in range(1, 8)]
    assert found == sorted(found, reverse=True)
    assert found[2] == 0.3 * reference_bandwidth(1000, 16)
    assert budget(math.inf).bandwidth("affine") == 0.0


def test_there_is_no_bandwidth_outside_gaussian_coordinates() -> None:
    assert budget(1000).bandwidth("identity") == 0.0


# ---- every choice is a field

CHOICES: list[tuple[dict[str, Any], str, dict[str, Any], Any]] = [
    ({"rows": 1000}, "max_steps", {"default_steps": 900, "min_steps": 1}, 90),
    ({"rows": 10}, "max_steps", {"min_steps": 40}, 40),
    ({"rows": 1000}, "max_steps", {"many_rows": 1000}, 3000),
    ({"rows": 1000}, "networks", {"many_rows": 1000}, 1),
    ({"seconds": 299.0}, "networks", {"two_networks_seconds": 299.0}, 2),
    ({"seconds": 300.0, "dim": 64}, "networks", {"two_networks_steps": 4000}, 2),
    ({"seconds": 300.0}, "networks", {"step_seconds": 1.0}, 1),
    ({"seconds": 300.0}, "networks", {"step_seconds_per_feature": 1.0}, 1),
    ({"steps": 50}, "is_long", {"long_steps": 50}, True),
    ({"seconds": 50.0}, "is_long", {"long_seconds": 50.0}, True),
    ({"steps": 50}, "is_longer", {"longer_steps": 50}, True),
    ({"seconds": 50.0}, "is_longer", {"longer_seconds": 50.0}, True),
    ({"steps": 50}, "max_reuse", {"short_reuse": 9}, 9),
    ({"steps": 5000}, "max_reuse", {"long_reuse": 9}, 9),
    ({"rows": 1000}, "fresh_rows", {"max_passes": 3}, 3000),
    ({}, "largest_batch", {"max_batch": 77}, 77),
    ({"rows": 1000}, "largest_batch", {"rows_per_batch_row": 10}, 100),
    ({"rows": 5000}, "evaluate_every", {"few_rows": 5001}, 20),
    ({}, "evaluate_every", {"steps_between_evaluations": 11}, 11),
    ({"rows": 9}, "evaluate_every", {"steps_between_evaluations_few": 11}, 11),
]


@pytest.mark.parametrize(("told", "choice", "fields", "expected"), CHOICES)
def test_a_field_decides(
    told: dict[str, Any], choice: str, fields: dict[str, Any], expected: Any
) -> None:
    assert getattr(budget(**told), choice) != expected
    assert getattr(budget(**told, **fields), choice) == expected


def test_fields_decide_on_layers_and_bandwidths() -> None:
    assert budget(steps=5000, long_layers=6).layers(16) == 6
    assert budget(steps=10_000, longer_layers=6).layers(16) == 6
    assert budget(steps=10_000, narrow_layers=6).layers(2) == 6
    assert budget(steps=10_000, narrow_width=128).layers(16) == 7
    half = budget(1000, bandwidth_factor=0.15).bandwidth("affine")
    assert half == pytest.approx(budget(1000).bandwidth("affine") / 2)


def test_few_rows_fall_into_folds_unless_told_otherwise() -> None:
    assert budget(4999).folds(None) == 3
    assert budget(4999, fold_count=5).folds(None) == 5
    assert budget(4999).folds(4) == 4
    assert budget(4999).folds(1) == 0
    assert budget(4999, steps=100).folds(None) == 0
    assert budget(4999, seconds=10.0).folds(None) == 3
    assert budget(5000).folds(None) == 0
    assert budget(5000, folded_rows=6000).folds(None) == 3


def test_every_field_is_among_these() -> None:
    facts = {"rows", "dim", "steps", "seconds", "bounded_below"}
    known = {field.name for field in dataclasses.fields(Budget)} - facts
    tested = {name for _, _, fields, _ in CHOICES for name in fields}
    others = {"long_layers", "longer_layers", "narrow_layers", "narrow_width"}
    own = {"bandwidth_factor", "first_batch", "residual_dim", "widest_dim"}
    own |= {"smooth_dim", "smooth_squares", "smooth_bias"}
    own |= {"folded_rows", "fold_count"}
    assert known == tested | others | own
