"""Maps of discrete optimal transport."""

import numpy as np
import pytest
import torch

from benchmarks import discrete, finite
from brenier.datasets import Pair, gaussian_pair, translation_pair
from brenier.metrics import l2_uvp


def samples(pair: Pair, n: int) -> tuple[discrete.Array, discrete.Array]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        draw(n, generator).double().numpy() for draw in (pair.source, pair.target)
    )  # type: ignore[return-value]


def test_the_exact_plan_of_moved_points_moves_them_and_others() -> None:
    pytest.importorskip("ot")
    x, others = (np.random.default_rng(k).normal(size=(60, 3)) for k in range(2))
    maps = discrete.exact_plan(x, np.random.default_rng(2).permutation(x + 5))
    for points in (x, others):
        np.testing.assert_allclose(maps.forward(points), points + 5)
        np.testing.assert_allclose(maps.backward(points), points - 5)


def test_the_entropic_map_finds_its_own_regularisation_and_is_better_than_the_exact_plan() -> (
    None
):
    pytest.importorskip("ot")
    pair = gaussian_pair(8)
    x, z = samples(pair, 500)
    fresh = pair.source(1000, torch.Generator().manual_seed(1)).double()
    maps = [discrete.entropic_map(x, z, 60, seed=0), discrete.exact_plan(x, z)]
    errors = [
        l2_uvp(torch.from_numpy(m.forward(fresh.numpy())), pair.forward(fresh))
        for m in maps
    ]
    assert errors[0] < errors[1] / 2
    assert maps[0].facts["epsilons_tried"] < len(discrete.EPSILONS)


def test_entropic_potentials_have_the_marginals() -> None:
    pytest.importorskip("ot")
    x, z = samples(gaussian_pair(2), 300)
    distances = discrete.squared_distances(x, z[:200])
    f, g = discrete._sinkhorn(distances, 0.5, None)
    plan = np.exp((f[:, None] + g - distances) / 0.5) / distances.size
    np.testing.assert_allclose(plan.sum(1), 1 / 300, rtol=0.05)
    np.testing.assert_allclose(plan.sum(0), 1 / 200, rtol=0.05)
    value, images = discrete._extend(x, z[:200], g, 0.5)
    np.testing.assert_allclose(value, f, atol=0.05)
    np.testing.assert_allclose(
        images, plan @ z[:200] / plan.sum(1, keepdims=True), atol=1e-8
    )


def test_affine_linear_and_kernel_maps() -> None:
    pytest.importorskip("ot")
    pair = translation_pair(2)
    x, z = samples(pair, 150)
    affine = finite.affine(torch.from_numpy(x), torch.from_numpy(z), 0)
    for maps, worst in (
        (affine, 0.5),
        (discrete.linear_map(x, z), 0.5),
        (discrete.kernel_map(x, z), 1.0),
    ):
        assert (
            np.abs(maps.forward(x) - pair.forward(torch.from_numpy(x)).numpy()).mean()
            < worst
        )
        assert np.abs(maps.backward(maps.forward(x)) - x).mean() < worst
