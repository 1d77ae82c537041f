"""Pairs with known maps: inverse, monotone, the gradient of something, and with the variances they claim."""

import math

import pytest
import torch
from torch.func import jacrev, vmap

from brenier.datasets import (
    gaussian_pair,
    radial_pair,
    scaling_pair,
    separable_pair,
    translation_pair,
)
from brenier.errors import DataError
from brenier.metrics import exact_w2, l2_uvp

BUILDERS = [translation_pair, scaling_pair, gaussian_pair, radial_pair, separable_pair]


@pytest.fixture(params=BUILDERS, ids=lambda builder: builder.__name__)
def builder(request):
    return request.param


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_backward_is_the_inverse(builder, dim, generator):
    pair = builder(dim, dtype=torch.float64)
    z, x = pair.target_with_preimage(500, generator)
    assert z.shape == x.shape == (500, dim)
    torch.testing.assert_close(pair.forward(x), z)
    torch.testing.assert_close(pair.backward(z), x, rtol=1e-9, atol=1e-9)


def test_forward_is_the_gradient_of_a_convex_function(builder, generator):
    pair = builder(3, dtype=torch.float64)
    jacobian = vmap(jacrev(pair.forward))(pair.source(100, generator))
    torch.testing.assert_close(jacobian, jacobian.mT)
    assert float(torch.linalg.eigvalsh(jacobian).min()) > 0


def test_variances_are_those_of_samples(builder, generator):
    pair = builder(4, dtype=torch.float64)
    z, x = pair.target_with_preimage(200_000, generator)
    assert float(x.var(0).sum()) == pytest.approx(pair.variance_source, rel=0.01)
    assert float(z.var(0).sum()) == pytest.approx(pair.variance_target, rel=0.03)


def test_samples_follow_generator_and_dtype(builder):
    for dtype in (torch.float32, torch.float64):
        first, again = (
            builder(2, dtype=dtype).target(10, torch.Generator().manual_seed(3))
            for _ in range(2)
        )
        assert first.dtype == dtype
        assert torch.equal(first, again)
        assert first.shape == (10, 2)


def test_single_precision_maps_agree_with_double(builder, generator):
    pair = builder(8)
    x = pair.source(1000, generator)
    assert l2_uvp(pair.forward(x), pair.forward(x.double())) < 1e-9
    assert l2_uvp(pair.backward(pair.forward(x)), x) < 1e-7


def test_gaussian_pair_is_that_of_the_benchmark(generator):
    pair = gaussian_pair(16, seed=1, dtype=torch.float64)
    z, x = pair.target_with_preimage(100_000, generator)
    for samples in (x, z):
        values = torch.linalg.eigvalsh(samples.mT @ samples / len(samples))
        assert 0.48 < float(values.min()) < float(values.max()) < 2.08
    assert not torch.equal(gaussian_pair(16, seed=2, dtype=torch.float64).forward(x), z)
    identity = l2_uvp(x, z, variance=pair.variance_target)
    assert 3 < identity < 15  # nothing learnt


def test_separable_pairs_depend_on_the_seed(generator):
    x = separable_pair(3, seed=0).source(5, generator)
    assert not torch.allclose(
        separable_pair(3, seed=0).forward(x), separable_pair(3, seed=1).forward(x)
    )


def test_translation_has_the_distance_it_says(generator):
    pair = translation_pair(3, distance=2.5, dtype=torch.float64)
    z, x = pair.target_with_preimage(100, generator)
    assert exact_w2(x, z) == pytest.approx(2.5)
    assert math.isclose(float((z - x).norm(dim=1).mean()), 2.5)


def test_what_cannot_be_is_named(builder):
    with pytest.raises(DataError, match="dim: is 0"):
        builder(0)
    with pytest.raises(DataError, match="factor"):
        scaling_pair(2, factor=-1.0)
    with pytest.raises(DataError, match="bend"):
        radial_pair(2, bend=0.0)
