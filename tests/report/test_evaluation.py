"""Evaluations: the map beside doing nothing and beside the affine map."""

import json

import numpy as np
import pytest
import torch

from brenier import DataError, OptimalTransport
from brenier.report.evaluation import MapEvaluation, has_enough_rows, measure, to_json
from brenier.report.tables import text_table

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.normal(size=(300, 2)))
Y = torch.tensor(np.sinh(RNG.normal(size=(250, 2))) + np.array([2, 0]))


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fitted map."""
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        X, Y
    )


@pytest.fixture(scope="module")
def found(ot: OptimalTransport) -> MapEvaluation:
    """What it does on the samples that it was fitted to."""
    return measure(ot.map_, X, Y)


def test_the_map_is_better_than_nothing(found: MapEvaluation) -> None:
    assert found.rows == 125
    energy = {name: scores["energy distance"] for name, scores in found.scores.items()}
    assert energy["this map"] < 0.2 * energy["identity (source)"]
    assert energy["affine map"] < 0.2 * energy["identity (source)"]
    table = found.table(text_table).splitlines()
    assert [line.split()[0] for line in table[1:]] == [
        "identity",
        "affine",
        "this",
        "fresh",
    ]


def test_an_evaluation_is_json(found: MapEvaluation) -> None:
    kept = json.loads(json.dumps(to_json(found)))
    assert kept["rows"] == 125
    trip = kept["round_trip"]
    assert (trip["rows"], trip["unconverged"]) == (300, 0)
    assert trip["median"] <= trip["percentile_99"] <= trip["largest"]
    assert (trip["missed"], trip["missed_error"]) == (0, 1e-3)


@pytest.mark.parametrize(
    ("rows", "side"), [((1, 4), "X"), ((2, 3), "Y"), ((1, 1), "X")]
)
def test_too_few_rows_are_refused(
    ot: OptimalTransport, rows: tuple[int, int], side: str
) -> None:
    x, z = X[: rows[0]], Y[: rows[1]]
    assert not has_enough_rows(x, z)
    with pytest.raises(DataError, match=f"^{side}: has too few rows") as caught:
        measure(ot.map_, x, z)
    assert caught.value.argument == side
    assert str(caught.value.for_argument("a.npy")).startswith("a.npy: has too few")
