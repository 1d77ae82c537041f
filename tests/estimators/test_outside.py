"""`transform` warns of rows outside of what the fit has seen, and of no others."""

import warnings
from typing import Any

import numpy as np
import pytest
from problems import normal

from brenier import DataWarning, OptimalTransport

QUICK: dict[str, Any] = {"max_steps": 10, "batch_size": 128, "random_state": 0}


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fit to rows about the origin."""
    return OptimalTransport(**QUICK).fit(normal(1000, 3), 2 * normal(1000, 3, seed=1))


def test_ordinary_rows_are_moved_without_a_word(ot: OptimalTransport) -> None:
    told = 0
    for seed in range(200):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ot.transform(normal(500, 3, seed=100 + seed))
        told += len(caught)
    assert told <= 4  # one in a thousand, by chance, and far fewer than one in fifty


def test_many_rows_outside_are_told_of(ot: OptimalTransport) -> None:
    rows = np.concatenate([normal(400, 3).numpy(), 8 + normal(30, 3).numpy()])
    with pytest.warns(DataWarning, match=r"3\d of 430 rows"):
        ot.transform(rows)


def test_one_row_is_told_of_where_it_is_wild(ot: OptimalTransport) -> None:
    rows = normal(400, 3).numpy()
    rows[7] = 1000
    with pytest.warns(DataWarning, match=r"1 of 400 rows \(rows 7\)"):
        ot.transform(rows)


def test_classes_are_told_of_by_their_own_rows() -> None:
    labels = np.repeat(["a", "b"], 500)
    X = normal(1000, 2).numpy() + 10 * (labels == "b")[:, None]
    ot = OptimalTransport(**QUICK)
    ot.fit(X, 2 * X + 1, source_labels=labels, target_labels=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ot.transform(X, labels)
    with pytest.warns(DataWarning, match="lie farther out"):
        ot.transform(X[labels == "a"], "b")


def test_the_map_itself_and_its_gradients_say_nothing(ot: OptimalTransport) -> None:
    far = (100 + normal(50, 3)).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ot.map_(far).sum().backward()
    assert far.grad is not None
