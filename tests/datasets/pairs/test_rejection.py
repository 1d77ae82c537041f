"""Samples by rejection: many or none, of the law that was asked for, and refused where they would not be exact."""

import pytest
import torch

from brenier.datasets.pairs.rejection import Rejection
from brenier.datasets.pairs.synthetic import normal
from brenier.errors import DataError


def rejection(log_share, radius=2.0):
    return Rejection("rho", normal(1, torch.float64), radius, log_share)


def test_samples_have_the_density_that_was_asked_for(generator):
    tilted = rejection(lambda x: 0.5 * (x[:, 0] - 2.0))
    x = tilted.sample(20_000, generator)
    assert float(x.mean()) == pytest.approx(0.379, abs=0.03)
    assert tilted.sample(0, generator).shape == (0, 1)
    assert (
        float(rejection(lambda x: 0 * x[:, 0], 1.0).sample(500, generator).abs().max())
        <= 1
    )


def test_a_density_that_is_not_bounded_is_refused(generator):
    with pytest.raises(DataError, match="cost: h"):
        rejection(lambda x: x[:, 0]).sample(1000, generator)


def test_a_law_that_accepts_hardly_a_row_is_refused():
    with pytest.raises(DataError, match="rho: so small that not one of 10000 rows"):
        rejection(lambda x: -20 - 0 * x[:, 0]).check()
