"""Pairs outside the family of the networks: inverse, monotone, in the dimensions and with the variances they claim."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import jacrev, vmap

from brenier.datasets import (
    NEUTRAL,
    manifold_pair,
    mixture_pair,
    separable_pair,
    tails_pair,
)
from brenier.errors import DataError
from brenier.metrics import l2_uvp
from brenier.statistics.gaussian import fit_gaussian, gaussian_map

INVERTED = sorted(NEUTRAL.keys() - {"logsumexp"})
SEEDED = sorted(NEUTRAL.keys() - {"tails"})


@pytest.fixture(params=NEUTRAL)
def name(request):
    return request.param


@pytest.mark.parametrize("name", INVERTED)
@pytest.mark.parametrize("dim", [2, 7, 50, 128])
def test_backward_is_the_inverse(name, dim, generator):
    pair = NEUTRAL[name](dim, dtype=torch.float64)
    assert pair.backward is not None
    z, x = pair.target_with_preimage(200, generator)
    assert z.shape == x.shape == (200, dim)
    torch.testing.assert_close(pair.forward(x), z)
    torch.testing.assert_close(pair.backward(z), x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        pair.forward(pair.backward(x)), x, rtol=1e-9, atol=1e-9
    )  # off the support as well


@pytest.mark.parametrize("dim", [2, 6])
def test_forward_is_the_gradient_of_a_convex_function(name, dim, generator):
    pair = NEUTRAL[name](dim, dtype=torch.float64)
    points = torch.cat(
        [
            pair.source(100, generator),
            2 * torch.randn(100, dim, generator=generator).double(),
        ]
    )
    jacobian = vmap(jacrev(pair.forward))(points)
    torch.testing.assert_close(jacobian, jacobian.mT)
    assert float(torch.linalg.eigvalsh(jacobian).min()) > 0
    assert not torch.allclose(
        jacobian, jacobian.diagonal(dim1=1, dim2=2).diag_embed(), atol=0.01
    )  # rotated


def test_the_log_sum_exp_is_the_potential_it_says(generator):
    pair = NEUTRAL["logsumexp"](3, seed=4, dtype=torch.float64)
    draws = torch.Generator().manual_seed(4)
    w = torch.randn(3, 10, generator=draws, dtype=torch.float64)
    w, t = 3**0.5 * w / w.norm(dim=0), 3**0.5 / 4
    b = t * torch.randn(10, generator=draws, dtype=torch.float64)
    x = pair.source(20, generator).requires_grad_()
    potential = 0.25 * x.square().sum(1) + t * torch.logsumexp((x @ w + b) / t, 1)
    torch.testing.assert_close(
        pair.forward(x), torch.autograd.grad(potential.sum(), x)[0]
    )
    assert pair.backward is None


@pytest.mark.parametrize("dim", [2, 16])
def test_variances_are_those_of_samples(name, dim, generator):
    pair = NEUTRAL[name](dim, dtype=torch.float64)
    z, x = pair.target_with_preimage(60_000, generator)
    for samples, variance in ((x, pair.variance_source), (z, pair.variance_target)):
        squares = (samples - samples.mean(0)).square().sum(1)
        assert (
            abs(float(squares.mean()) - variance)
            < 4 * float(squares.std()) / 60_000**0.5
        )


@pytest.mark.parametrize("dim", [2, 16])
def test_the_affine_map_is_not_enough(name, dim, generator):
    pair = NEUTRAL[name](dim)
    (z, x), (truth, fresh) = (
        pair.target_with_preimage(20_000, generator) for _ in range(2)
    )
    source, target = fit_gaussian(x), fit_gaussian(z)
    moved = (fresh.double() - source.mean) @ gaussian_map(source, target) + target.mean
    assert 5 < l2_uvp(moved, truth, pair.variance_target) < 40


def test_tails_are_those_of_student(generator):
    pair = tails_pair(4, dtype=torch.float64)
    x = pair.source(20_000, generator)
    assert stats.kstest(x[:, 0].numpy(), "t", (5,)).pvalue > 0.001
    assert stats.kstest((x.square().sum(1) / 4).numpy(), "f", (4, 5)).pvalue > 0.001
    z = pair.forward(x)
    np.testing.assert_allclose(x, z * (1 + z.square().sum(1, keepdim=True)))


def test_the_mixture_has_six_symmetric_modes(generator):
    x = mixture_pair(64, dtype=torch.float64).source(3_000, generator)
    closeness = x @ x.mT / 64
    closeness.fill_diagonal_(0)
    narrow = closeness[x.square().sum(1) < 0.45 * 64]
    assert (
        float((narrow.max(1).values > 0.15).double().mean()) > 0.2
    )  # in the same mode
    assert (
        float((narrow.min(1).values < -0.15).double().mean()) > 0.2
    )  # in the mirrored one
    torch.testing.assert_close(x.mean(0), torch.zeros(64).double(), rtol=0, atol=0.1)


def test_the_surface_is_curved_and_has_two_dimensions(generator):
    pair = manifold_pair(50, dtype=torch.float64)
    x = pair.source(200_000, generator)
    assert torch.linalg.matrix_rank(torch.cov(x.mT)) == 50  # it fills no subspace
    near = (x - x[0]).square().sum(1).topk(200, largest=False).indices
    values = torch.linalg.svdvals(x[near] - x[near].mean(0))
    assert float(values[2]) < 0.1 * float(values[1])


def test_single_precision_maps_agree_with_double(name, generator):
    pair = NEUTRAL[name](8)
    x = pair.source(1000, generator)
    assert x.dtype == pair.forward(x).dtype == torch.float32
    assert l2_uvp(pair.forward(x), pair.forward(x.double())) < 1e-9
    if pair.backward is not None:
        assert l2_uvp(pair.backward(pair.forward(x)), x) < 1e-7


def test_maps_are_finite_far_away(name):
    far = torch.tensor([[0.0, 0.0], [1e3, -1e3]])
    assert torch.isfinite(NEUTRAL[name](2).forward(far)).all()


def test_everything_follows_from_the_seeds(name):
    pair, again = (NEUTRAL[name](5) for _ in range(2))
    first, second = (
        p.target(10, torch.Generator().manual_seed(3)) for p in (pair, again)
    )
    assert torch.equal(first, second)
    assert (pair.name, pair.dim) == (name, 5)
    assert (pair.variance_source, pair.variance_target) == (
        again.variance_source,
        again.variance_target,
    )
    if name in SEEDED:
        assert not torch.allclose(
            NEUTRAL[name](5, seed=1).target(10, torch.Generator().manual_seed(3)), first
        )


def test_what_cannot_be_is_named(name):
    with pytest.raises(DataError, match="dim: is 0"):
        NEUTRAL[name](0)
    with pytest.raises(DataError, match="dim: is 1; give at least 2"):
        manifold_pair(1)
    with pytest.raises(DataError, match="strength: is 0"):
        separable_pair(2, strength=0.0)
    for builder in (mixture_pair, tails_pair):
        with pytest.raises(DataError, match="bend: is -1"):
            builder(2, bend=-1.0)
