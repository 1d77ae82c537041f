"""The audit of inner minima: what a harder search finds that the map's own did not."""

import pytest
import torch
from problems import make, normal
from torch import Tensor

from brenier import DenseICNN, Potential, TransportMap
from brenier.transport.maps import audited
from brenier.transport.maps.certificates.audit import pooled_audit


class TwoBasins(Potential):
    """g(y) = -3 |y| smoothed: F(y) = (y - z)^2/2 + g(y) has a minimum on either side of zero."""

    dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.size = torch.nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -self.size * (x.square().sum(-1) + 0.01).sqrt() + 0.5 * x.sum(-1)


def by_hand(z: Tensor) -> Tensor:
    """The least value of F on a fine grid: (m,)."""
    grid = torch.linspace(-8, 8, 16_001, dtype=torch.float64).unsqueeze(-1)
    value = TwoBasins()(grid)
    return ((grid - z.mT).square() / 2 + value.unsqueeze(-1)).min(0).values.detach()


def test_minima_missed_are_found_and_counted() -> None:
    transport = TransportMap(TwoBasins(), start_rows=torch.empty(0, 1), tol=1e-8)
    z = normal(200, 1) + 0.3
    row_map, generator = transport.rows(), torch.Generator().manual_seed(0)
    own = row_map.solver.solve(transport.network, z).value.detach()
    missed = own - by_hand(z)
    assert int((missed > 0.01).sum()) > 10  # starts at z end on z's own side
    found = audited(row_map, normal(50, 1, seed=1), z, generator, factor=2.0)
    assert 0.8 < found.improved / int((missed > 0.01).sum()) <= 1
    error = float(2 * missed.std()) / 200**0.5
    assert found.bias == pytest.approx(2 * float(missed.mean()) + 2 * error, rel=0.2)
    assert found.largest == pytest.approx(2 * float(missed.max()), rel=0.01)
    assert "lower minimum" in found.statement()


def test_where_nothing_was_missed_nothing_is_taken_off() -> None:
    starts = torch.linspace(-6, 6, 100, dtype=torch.float64).unsqueeze(-1)
    transport = TransportMap(TwoBasins(), start_rows=starts, tol=1e-8)
    generator = torch.Generator().manual_seed(0)
    found = audited(transport.rows(), starts, normal(100, 1), generator, 1.0)
    assert (found.improved, found.bias) == (0, 0.0)


def test_a_convex_potential_needs_no_audit() -> None:
    transport = TransportMap(make(DenseICNN, 2, convex=True).double())
    generator = torch.Generator().manual_seed(0)
    found = audited(transport.rows(), normal(5, 2), normal(5, 2), generator, 1.0)
    assert found.needless
    assert "convex by construction" in found.statement()


def test_audits_together_count_by_their_shares() -> None:
    transport = TransportMap(TwoBasins(), start_rows=torch.empty(0, 1), tol=1e-8)
    parts = [
        audited(
            transport.rows(),
            normal(50, 1),
            normal(100, 1, seed=seed) + 0.3,
            torch.Generator().manual_seed(seed),
            1.0,
        )
        for seed in (0, 1)
    ]
    both = pooled_audit(parts, [0.5, 0.5])
    assert both is not None
    assert both.bias == pytest.approx((parts[0].bias + parts[1].bias) / 2)
    assert both.rows == 200
    assert pooled_audit([parts[0], None], [0.5, 0.5]) is None
