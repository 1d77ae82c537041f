"""Clusters: a gap in the source that the map closes and its inverse opens."""

import pytest
import torch
from scipy import stats

from brenier.datasets import clusters_pair


def test_clusters_become_one_gaussian(generator):
    pair = clusters_pair(3, seed=1, dtype=torch.float64)
    z, x = pair.target_with_preimage(20_000, generator)
    values, vectors = torch.linalg.eigh(torch.cov(x.mT))
    axis = vectors[:, -1]
    assert float(values[-1]) == pytest.approx(0.75 * 3 * 1.04, rel=0.05)
    assert float((x @ axis).abs().min()) > 0.2  # the gap
    for direction in (axis, *torch.eye(3, dtype=torch.float64)):
        assert (
            stats.kstest(stats.zscore((z @ direction).numpy()), "norm").pvalue > 0.001
        )
    assert stats.kstest((x @ axis).numpy(), "norm", (0, 1.5)).pvalue < 1e-9


def test_the_inverse_opens_the_gap_again(generator):
    pair = clusters_pair(2, seed=1, dtype=torch.float64)
    z, x = pair.target_with_preimage(1000, generator)
    assert pair.backward is not None
    torch.testing.assert_close(pair.backward(z), x, rtol=1e-9, atol=1e-9)
    # Points between the clusters, where there are no samples, are mapped all the same.
    middle = x / 100
    torch.testing.assert_close(
        pair.backward(pair.forward(middle)), middle, rtol=0, atol=1e-6
    )
