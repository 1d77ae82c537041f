"""What is told of samples before a fit, and what is left out of it."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from brenier import OptimalTransport
from brenier.errors import DataWarning

N = 400


def sides(d: int = 2, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), 2 * rng.normal(size=(n, d)) + 3


def told(
    *samples: Any, steps: int = 1, **given: Any
) -> tuple[OptimalTransport, list[str]]:
    """A short fit, and what it warned of."""
    settings = {
        name: given.pop(name)
        for name in ("start", "scale", "settings")
        if name in given
    }
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ot = OptimalTransport(
            max_steps=steps, n_networks=1, random_state=0, **settings
        ).fit(*samples, **given)
    return ot, [
        str(warned.message) for warned in seen if warned.category is DataWarning
    ]


# ---- extreme values


@pytest.mark.parametrize("start", ["affine", "identity"])
def test_a_wild_row_is_named_and_does_not_decide_the_map(start: str) -> None:
    x, y = sides()
    x[17, 1] = 1e4
    ot, messages = told(x, y, start=start, steps=60)
    [message] = messages
    assert message.startswith(
        "X: column 1 has wild values, up to 10000, in 1 of 400 rows (row 17)"
    )
    there = ot.transform(np.delete(x, 17, 0))
    np.testing.assert_allclose(there.mean(0), 3, atol=0.4)
    np.testing.assert_allclose(there.std(0), 2, atol=0.4)


def test_codes_of_both_sides_are_named_by_the_names_of_their_columns() -> None:
    x, y = (pd.DataFrame(side, columns=["rain", "wind"]) for side in sides())
    x.loc[::50, "wind"] = y.loc[::40, "wind"] = -999
    messages = told(x, y)[1]
    assert [message[: message.index(", far")] for message in messages] == [
        "X: column 'wind' repeats -999 in 8 of 400 rows (rows 0, 50, 100, 150, 200, ...)",
        "Y: column 'wind' repeats -999 in 10 of 400 rows (rows 0, 40, 80, 120, 160, ...)",
    ]


def test_many_columns_make_one_warning() -> None:
    x, y = sides(12)
    x[np.arange(12) * 30, np.arange(12)] = 1e7
    [message] = told(x, y)[1]
    assert "column 0 " in message
    assert "column 2 " in message
    assert "column 3 " not in message
    assert "and 9 more" in message


def test_wild_rows_may_be_kept() -> None:
    x, y = sides()
    x[17] = 1e4
    ot, [message] = told(x, y, settings={"leave_out_wild": False})
    assert "take part in the fit" in message
    assert ot.map_.coordinates.source_mean.min() > 10


def test_most_rows_are_never_left_out() -> None:
    x, y = sides(40)
    for column in range(40):
        x[column * 10 : column * 10 + 8, column] = -999
    _, [message] = told(x, y)
    assert "take part in the fit" in message


def test_heavy_tails_are_told_with_what_to_transform() -> None:
    x, y = sides(1, 1000)
    [message] = told(x, np.exp(1.5 * (y - 3)))[1]
    assert message.startswith("Y: column 0 has a heavy tail")
    assert "numpy.log1p" in message


def test_wild_rows_of_a_class_are_named_with_it() -> None:
    x, y = sides()
    labels = np.where(np.arange(N) % 2, "b", "a")
    x[17] = 1e5
    ot, [message] = told(x, y, source_labels=labels, target_labels=labels)
    assert "of class 'b'" in message
    assert "(row 17)" in message
    np.testing.assert_allclose(ot.transform(x[1:16:2], labels="b").mean(0), 3, atol=2)


def test_one_wild_covariate_does_not_squeeze_the_others() -> None:
    x, y = sides()
    dose = np.random.default_rng(1).random(N)
    dose[5] = 1e6
    ot, [message] = told(
        x, y + 5 * np.minimum(dose, 1)[:, None], target_covariates=dose
    )
    assert message.startswith("target_covariates: column 0 has wild values")
    assert "row 5" in message
    assert float(ot.map_.conditions.high[0]) < 1


def test_rows_of_an_endless_stream_are_drawn_without_wild_ones() -> None:
    def wild(n: int, generator: torch.Generator) -> torch.Tensor:
        rows = torch.randn(n, 2, generator=generator)
        rows[torch.rand(n, generator=generator) < 0.002] *= 1e5
        return rows

    ot, messages = told(wild, lambda n, g: torch.randn(n, 2, generator=g))
    assert any("wild values" in message for message in messages)
    assert ot.map_.coordinates.unit.max() < 2


# ---- features that are drowned


def test_a_feature_drowned_beside_a_large_one_is_named_with_the_remedy() -> None:
    x, y = (
        pd.DataFrame(side * [1000, 1], columns=["energy", "angle"]) for side in sides()
    )
    [message] = told(x, y)[1]
    assert (
        "'angle'" in message and "1,000 times" in message.replace("1,0", "1,0")
    ) or "times less" in message
    assert "scale='feature'" in message
    assert not told(x, y, scale="feature")[1]
    assert not told(x, y, scale="common")[1]


def test_spreads_of_usual_sizes_and_rare_ones_of_two_are_not_drowned() -> None:
    x, y = sides(3)
    x[:, 1] /= 50
    y[:, 1] /= 50
    x[:, 2] = y[:, 2] = np.arange(N) == 0
    assert not told(x, y)[1]


# ---- ties and constants


def test_a_share_of_the_source_that_is_one_row_is_told() -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random(N) < 0.6, 0.0, rng.gamma(0.8, 5, N))[:, None]
    y = np.where(rng.random(N) < 0.3, 0.0, rng.gamma(0.8, 9, N))[:, None]
    [message] = told(x, y)[1]
    assert message.startswith("X: ")
    assert "one and the same" in message
    assert "jitter" in message
    assert not told(y, x)[1]  # which a map can do
    assert not told(x, x)[1]


def test_a_tied_column_is_told_where_the_target_has_fewer_ties() -> None:
    x, y = sides(3)
    x[:240, 1] = 0
    y[:40, 1] = 0
    [message] = told(x, y)[1]
    assert "column 1 is 0 in 60 % of the rows" in message
    assert "10 %" in message


def test_a_column_that_varies_in_the_target_only_is_told() -> None:
    x, y = sides(3)
    x[:, 2] = 0
    ot, [message] = told(x, y)
    assert message.startswith("X: column 2 is 0 in all rows, and varies in Y")
    x[:5, 2] = 1
    assert np.abs(ot.transform(x[:5])[:, 2] - 3).max() < 10


def test_a_source_that_is_one_point_is_told() -> None:
    _, y = sides()
    [message] = told(np.ones((300, 2)), y)[1]
    assert message.startswith("X: all 300 rows are the same point")


# ---- nothing is said of clean samples

CLEAN = {
    "normal": lambda rng, n: rng.normal(size=(n, 4)),
    "lognormal": lambda rng, n: rng.lognormal(size=(n, 3)),
    "counts": lambda rng, n: rng.poisson([0.05, 1.0, 9.0], size=(n, 3)),
    "one hot": lambda rng, n: np.eye(6)[
        rng.choice(6, n, p=[0.4, 0.3, 0.2, 0.06, 0.03, 0.01])
    ],
    "sparse": lambda rng, n: np.log1p(
        rng.poisson(np.exp(np.linspace(-6, 0, 60)), size=(n, 60))
    ),
    "few rows": lambda rng, n: rng.normal(size=(12, 40)),
    "cluster": lambda rng, n: (
        rng.normal(size=(n, 2)) + 20 * (rng.random((n, 1)) < 0.03)
    ),
}


@pytest.mark.parametrize("law", CLEAN.values(), ids=CLEAN)
def test_clean_samples_are_fitted_without_a_word(law: Any) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        assert not told(law(rng, 300), law(rng, 300))[1]
