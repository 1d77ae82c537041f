"""The twin of a fit: what it is fitted to, and that its errors are those of its true map."""

from typing import Any

import numpy as np
import pytest
import torch
from problems import normal

from brenier import OptimalTransport
from brenier.estimators.twin import _errors, _twin_samples, fitted_twin

# Fits of few steps may be of little use.
pytestmark = pytest.mark.filterwarnings("ignore::brenier.ConvergenceWarning")

QUICK: dict[str, Any] = {"max_steps": 15, "batch_size": 128, "random_state": 0}
X = normal(500, 2)
Y = 2 * torch.tanh(2 * normal(120, 2, seed=1)) + 1


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fit to many source rows and few target rows."""
    return OptimalTransport("convex", **QUICK).fit(X, Y)


def test_its_rows_are_disjoint_and_as_many_as_those_of_the_target(
    ot: OptimalTransport,
) -> None:
    assert ot._plan is not None
    generator = torch.Generator().manual_seed(0)
    found = _twin_samples(ot.map_, ot._plan, generator)
    sides = [side.rows.rows for side in (found.source, found.imaged, found.aside)]
    assert [len(side) for side in sides] == [330, 120, 50]
    assert len(torch.cat(sides).unique(dim=0)) == 500
    assert found.share == 1.0


def test_a_map_makes_no_error_as_a_twin_of_itself(ot: OptimalTransport) -> None:
    assert ot._plan is not None
    generator = torch.Generator().manual_seed(0)
    samples = _twin_samples(ot.map_, ot._plan, generator)
    found = _errors(ot.map_, ot.map_, samples.aside, generator).together
    assert found is not None
    assert found.forward == 0
    assert found.inverse < 0.01
    assert abs(found.gap) < 1e-3


def test_its_errors_are_those_of_rows(ot: OptimalTransport) -> None:
    assert ot._plan is not None
    other = OptimalTransport("convex", **{**QUICK, "random_state": 1}).fit(X, Y + 0.1)
    generator = torch.Generator().manual_seed(0)
    samples = _twin_samples(ot.map_, ot._plan, generator)
    found = _errors(ot.map_, other.map_, samples.aside, generator).together
    x = samples.aside.rows.rows
    z = ot.map_(x)
    assert found is not None
    expected = (other.map_(x) - z).square().sum(-1).mean().sqrt()
    assert found.forward == pytest.approx(float(expected), rel=0.05)
    phi, phi_c, _ = other.map_.dual_terms(x, z)
    factor = 2 * other.map_.unit_of_values()
    gap = ((x - z).square().sum(-1) - factor * (phi + phi_c)).mean()
    assert found.gap == pytest.approx(float(gap), rel=0.05)


def test_classes_have_errors_of_their_own() -> None:
    labels = np.repeat(["a", "b"], [300, 200])
    targets = np.repeat(["a", "b"], [60, 60])
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_labels=labels, target_labels=targets)
    assert ot._plan is not None
    found = fitted_twin(ot, ot._plan, 0, None, shown=False)
    assert set(found.parts) == {"a", "b"}
    assert found.together is not None
