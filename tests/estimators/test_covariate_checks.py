"""Covariates that tell nothing, or nothing new: the map follows the others, and says so."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fits import quick

from brenier import DataError, DataWarning

RNG = np.random.default_rng(0)
N = 300
HOURS, OTHER, ONE = RNG.random(N), RNG.random(N), np.ones(N)
X = RNG.normal(size=(N, 2))
Y = RNG.normal(size=(N, 2)) + 3 * HOURS[:, None]
TWO_BINS = np.c_[HOURS > 0.5, HOURS <= 0.5].astype(float)

DEPENDENT: dict[str, tuple[np.ndarray, str]] = {
    "twice": (np.c_[HOURS, HOURS], "column 1 is a linear function"),
    "hours and days": (np.c_[HOURS, HOURS / 24], "column 1 is a linear function"),
    "shifted": (np.c_[HOURS, 3 - 2 * HOURS], "column 1 is a linear function"),
    "all but": (np.c_[HOURS, HOURS + 1e-9 * OTHER], "column 1 is a linear function"),
    "sum": (np.c_[HOURS, OTHER, HOURS + OTHER], "column 2 is a linear function"),
    "constant": (np.c_[HOURS, ONE], "column 1 is 1 in all rows and tells nothing"),
    "constant first": (np.c_[ONE, HOURS], "column 0 is 1 in all rows"),
    "dummies": (TWO_BINS, "column 1 is a linear function"),
}


@pytest.mark.parametrize("name", DEPENDENT)
@pytest.mark.parametrize("side", ["source", "target", "both"])
def test_the_map_follows_what_varies(name: str, side: str) -> None:
    given, told = DEPENDENT[name]
    covariates = {f"{each}_covariates": given for each in ("source", "target")}
    if side != "both":
        covariates = {f"{side}_covariates": given}
    with pytest.warns(DataWarning, match=rf"^{next(iter(covariates))}.*: {told}"):
        ot = quick(max_steps=2).fit(X, Y, **covariates)  # type: ignore[arg-type]
    moved = ot.transform(X, covariates=given)
    assert np.isfinite(moved).all()
    assert np.isfinite(ot.inverse_transform(moved, covariates=given)).all()
    if side == "target" and name not in ("dummies", "sum"):
        ends = [given[HOURS.argmin()], given[HOURS.argmax()]]
        means = [ot.transform(X, covariates=end).mean() for end in ends]
        np.testing.assert_allclose(means, [0, 3], atol=0.5)


def test_one_value_for_all_is_told_of() -> None:
    with pytest.warns(DataWarning, match="column 0 is 1 in all rows and tells nothing"):
        ot = quick(max_steps=1).fit(X, Y, target_covariates=ONE)
    assert np.isfinite(ot.transform(X, covariates=1.0)).all()


def test_a_constant_of_one_side_is_told_of() -> None:
    told = "^source_covariates: column 0 is 0.5 in all rows and varies on the other"
    with pytest.warns(DataWarning) as caught:
        quick(max_steps=1).fit(
            X, Y, source_covariates=0.5 * ONE, target_covariates=HOURS
        )
    assert any(str(one.message).startswith(told.removeprefix("^")) for one in caught)


def test_columns_of_frames_are_named() -> None:
    frame = pd.DataFrame({"hours": HOURS, "days": HOURS / 24})
    with pytest.warns(DataWarning, match="column 'days' is a linear function"):
        quick(max_steps=1).fit(X, Y, target_covariates=frame)
    with pytest.raises(DataError, match=r"^target_covariates: has columns"):
        quick(max_steps=1).fit(
            X,
            Y,
            source_covariates=frame,
            target_covariates=frame[["days", "hours"]],
        )


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (np.ones((N, 0)), r"have shape \(300, 0\), no covariates"),
        (RNG.random((N, N)), "has 300 covariates for 300 rows"),
        (RNG.random((N, N + 20)), "has 320 covariates for 300 rows"),
        (pd.date_range("2020", periods=N), "are not numbers"),
    ],
)
def test_what_no_map_can_follow_is_refused(given: Any, fault: str) -> None:
    with pytest.raises(DataError, match=f"^target_covariates: {fault}"):
        quick(max_steps=1).fit(X, Y, target_covariates=given)


def test_ranges_that_hardly_meet_are_warned_of() -> None:
    low, high = RNG.random((N, 2)), RNG.random((N, 2)) + 0.85
    with pytest.warns(DataWarning, match="lie in the range of both sides"):
        ot = quick(max_steps=1).fit(X, Y, source_covariates=low, target_covariates=high)
    assert np.isfinite(ot.transform(X, covariates=low)).all()
    # The ranges are [0, 1] x [0, 1] and [.5, 2] x [-1, .5]; no row lies in [.5, 1] x [0, .5].
    source = np.tile([[0.0, 0.0], [1.0, 1.0]], (N // 2, 1))
    target = np.tile([[0.5, -1.0], [2.0, 0.5]], (N // 2, 1))
    with pytest.raises(DataError, match="no row lies in the range of both sides"):
        quick(max_steps=1).fit(X, Y, source_covariates=source, target_covariates=target)


def test_more_covariates_than_parts_have_rows_is_no_fault_of_numpy() -> None:
    many = np.random.default_rng(0).random((2, 60, 20))
    ot = quick(max_steps=1).fit(
        X[:60], Y[:60], source_covariates=many[0], target_covariates=many[1]
    )
    assert np.isfinite(ot.transform(X[:60], covariates=many[0])).all()


def test_covariates_that_vary_are_not_spoken_of(
    recwarn: pytest.WarningsRecorder,
) -> None:
    given = np.c_[HOURS, OTHER, HOURS**2]
    quick(max_steps=1).fit(X, Y, target_covariates=given)
    assert not [one for one in recwarn if issubclass(one.category, DataWarning)]
