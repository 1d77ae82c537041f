"""The toys beside rivals: what sees labels keeps classes apart, what does not leaves them where they are."""

import pytest

from benchmarks.conditional import ON_TOYS, rival_problem
from brenier.datasets import RINGS


def toy(method: str) -> dict[str, float]:
    return rival_problem("horizontal swap", method, 1.0, 200, 400, 0)


def test_a_linear_map_per_class_changes_places_and_one_of_all_rows_stays() -> None:
    by_class, of_all = toy("linear-by-class"), toy("linear")
    assert by_class["accuracy"] == 100.0
    assert max(by_class["forward_uvp"], by_class["backward_uvp"]) < 20
    assert of_all["accuracy"] < 5
    # Rows stay two radii from their target, whose variance is 2 * 0.15^2 = 0.045.
    assert of_all["forward_uvp"] == pytest.approx(100 * 4 / 0.045, rel=0.1)
    assert (by_class["labels"], of_all["labels"]) == ("yes", "none")


def test_methods_without_inverse_have_no_backward_error() -> None:
    found = toy("sinkhorn-lpl1")
    assert found["accuracy"] == 100.0
    assert "backward_uvp" not in found


def test_the_methods_that_see_labels_are_there() -> None:
    assert {"default", "gnot", "linear-by-class", "characteristic flow"} <= set(ON_TOYS)
    assert len(RINGS) == 3
