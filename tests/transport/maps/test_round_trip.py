"""How well maps invert: errors relative to the spread of the source, in the units of the cost."""

import numpy as np
import pytest
import torch
from fits import quick

from brenier import DenseICNN, MeanPotential, OptimalTransport, TransportMap
from brenier.potentials import EntropicPotential, MaxAffine
from brenier.transport.maps import RoundTrip, inverse_errors, round_trip

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 3)), np.sinh(RNG.normal(size=(250, 3)))


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fitted map."""
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        X, Y
    )


def test_round_trip_is_relative_to_the_spread(ot: OptimalTransport) -> None:
    trip = round_trip(ot.map_, torch.tensor(X))
    assert trip.errors.shape == (300,)
    assert np.median(trip.errors) == pytest.approx(
        ot.diagnostics_["round_trip"], abs=1e-4
    )
    assert trip.statement().endswith("0 of 300 rows unconverged.")


def test_errors_are_those_of_the_inverse(ot: OptimalTransport) -> None:
    x = torch.tensor(X)
    errors, solution = inverse_errors(ot.map_, x)
    back = ot.map_.inverse(ot.map_(x))
    spread = (x - x.mean(0)).square().sum(-1).mean().sqrt()
    torch.testing.assert_close(errors, (back - x).norm(dim=-1) / spread)
    assert solution.unconverged == 0


def test_equal_rows_have_absolute_errors(ot: OptimalTransport) -> None:
    errors, _ = inverse_errors(ot.map_, torch.ones(4, 3, dtype=torch.float64))
    assert torch.isfinite(errors).all()


def test_a_map_with_classes_is_given_their_labels() -> None:
    labels = [0, 1] * 100
    x = RNG.normal(size=(200, 2))
    ot = quick(max_steps=2).fit(x, x + 1, source_labels=labels, target_labels=labels)
    trip = round_trip(ot.map_, torch.tensor(x), labels)
    assert trip.errors.max() < 1e-2


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("free", "not one-to-one there"),
        ("convex", "one-to-one, but so flat there"),
        ("plan", "the map of a plan sends many rows to nearly one point"),
        ("entropic", "not one-to-one there"),
    ],
)
def test_rows_that_do_not_come_back_are_counted(kind: str, reason: str) -> None:
    trip = RoundTrip(np.array([0.0, 1e-4, 1e-3, 2.0]), 0, kind)
    assert trip.missed == 0.25
    told = "25 % of the rows do not come back within 0.001 of the spread: the map"
    assert told in trip.statement()
    assert reason in trip.statement()
    fine = RoundTrip(np.array([0.0, 1e-4]), 0, kind)
    assert fine.missed == 0
    assert "All rows come back within 0.001 of the spread." in fine.statement()


def test_the_kind_of_a_map_is_seen_by_its_potential(ot: OptimalTransport) -> None:
    x = torch.tensor(X[:20])
    plan = MaxAffine.of_plan(x, x.square().sum(-1) / 2, 1e-2)
    assert round_trip(ot.map_, x).kind == "convex"
    assert round_trip(TransportMap(plan), x).kind == "plan"
    rows = x, x.square().sum(-1) / 2
    entropic = EntropicPotential.of_potentials(rows, rows, 0.5)
    assert round_trip(TransportMap(entropic), x).kind == "entropic"
    both = MeanPotential([DenseICNN(3, (8,)).to(x), entropic])
    assert round_trip(TransportMap(both), x).kind == "entropic"
    assert round_trip(TransportMap(DenseICNN(3, (8,))), x).kind == "free"


def test_the_statement_says_how_many_rows_failed() -> None:
    trip = RoundTrip(np.array([0.0, 1e-3, 2.0]), unconverged=1)
    assert "median error 0.001" in trip.statement()
    assert trip.statement().endswith("1 of 3 rows unconverged.")
