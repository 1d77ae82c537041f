"""Metrics against closed forms, brute force, scipy and POT."""

import builtins
import math

import numpy as np
import pytest
import torch
from scipy import linalg, optimize, stats
from scipy.spatial.distance import cdist

from brenier import metrics
from brenier.errors import ConvergenceWarning, DataError
from brenier.metrics import distances


def normal(n, d, generator, dtype=torch.float64):
    return torch.randn(n, d, generator=generator, dtype=dtype)


def compute_at_once(monkeypatch, entries):
    settings = metrics.MetricSettings(entries_at_once=entries)
    monkeypatch.setattr(distances, "METRIC_SETTINGS", settings)


# ---- against a known map


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uvp_of_a_shifted_map(generator, dtype):
    truth = normal(2000, 3, generator, dtype) + 5
    shift = torch.tensor([0.3, -0.1, 0.2], dtype=dtype)
    variance = float(truth.double().var(0, correction=0).sum())
    assert metrics.l2_uvp(truth + shift, truth) == pytest.approx(
        100 * 0.14 / variance, rel=1e-5
    )
    assert metrics.l2_uvp(truth + shift, truth, variance=7.0) == pytest.approx(
        2.0, rel=1e-5
    )


def test_uvp_is_zero_for_the_truth_and_100_for_its_mean(generator):
    truth = normal(500, 4, generator)
    assert metrics.l2_uvp(truth, truth) == 0
    assert metrics.l2_uvp(truth.mean(0).expand_as(truth), truth) == pytest.approx(100)


def test_uvp_of_float32_far_from_the_origin_and_over_many_blocks(
    generator, monkeypatch
):
    truth = normal(1001, 2, generator, torch.float32) + 1000
    whole = metrics.l2_uvp(truth + 1, truth)
    compute_at_once(monkeypatch, 64)
    assert metrics.l2_uvp(truth + 1, truth) == pytest.approx(whole, rel=1e-12)
    assert whole == pytest.approx(
        200 / float(truth.double().var(0, correction=0).sum()), rel=1e-9
    )


def test_cosine_of_known_angles(generator):
    x = normal(100, 2, generator)
    moved, truth = x + torch.tensor([1.0, 0.0]), x + torch.tensor([2.0, 2.0])
    assert metrics.cosine(x, moved, truth) == pytest.approx(math.sqrt(0.5))
    assert metrics.cosine(x, x - 3 * (truth - x), truth) == pytest.approx(-1)
    assert math.isnan(metrics.cosine(x, x, truth))


# ---- between samples


def gaussian_kernel_mean(s, variance, gap, d):
    """E exp(-|a - b|^2 / (2 s)) where a - b is N(gap, variance I)."""
    return (s / (s + variance)) ** (d / 2) * math.exp(-gap / (2 * (s + variance)))


def test_mmd_is_near_the_value_for_gaussians(generator):
    x, y = normal(2000, 2, generator), 2 * normal(1500, 2, generator) + 1
    s = 1.5
    mean = [
        gaussian_kernel_mean(s, *which, 2) for which in ((2, 0.0), (8, 0.0), (5, 2.0))
    ]
    assert metrics.mmd(x, y, [s]) == pytest.approx(
        mean[0] + mean[1] - 2 * mean[2], rel=0.05
    )


def test_mmd_is_the_unbiased_statistic(generator, monkeypatch):
    x, y = normal(40, 3, generator), normal(30, 3, generator) + 0.5
    scales = metrics.median_bandwidths(x, y)
    median = np.median(stats_pdist(torch.cat([x, y])) ** 2)
    assert scales == pytest.approx(
        [median * factor for factor in metrics.METRIC_SETTINGS.bandwidth_factors],
        rel=1e-2,
    )

    def kernel(a, b):
        return np.mean(
            [np.exp(-cdist(a, b, "sqeuclidean") / (2 * s)) for s in scales], axis=0
        )

    within = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y)]
    expected = sum(within) - 2 * kernel(x, y).mean()
    assert metrics.mmd(x, y) == pytest.approx(expected, rel=1e-12)
    compute_at_once(monkeypatch, 100)
    assert metrics.mmd(x, y) == pytest.approx(expected, rel=1e-12)


def stats_pdist(points):
    return cdist(points, points)[np.triu_indices(len(points), 1)]


def test_mmd_vanishes_on_average_where_laws_agree(generator):
    values = [
        metrics.mmd(normal(50, 2, generator), normal(50, 2, generator), [1.0])
        for _ in range(200)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)
    assert min(values) < 0


def test_mmd_of_constant_samples():
    assert metrics.mmd(torch.ones(5, 2), torch.ones(4, 2)) == pytest.approx(
        0, abs=1e-12
    )


def test_energy_distance_is_the_unbiased_form_of_scipys(generator):
    x, y = normal(60, 1, generator), 1.5 * normal(80, 1, generator) + 1
    biased = stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    within = [
        cdist(a, a).mean() / (len(a) - 1) for a in (x, y)
    ]  # what counting i = j took away
    assert metrics.energy_distance(x, y) == pytest.approx(
        biased - sum(within), rel=1e-10
    )


def test_points_are_chosen_by_the_seed(generator):
    x, y = normal(300, 2, generator), normal(300, 2, generator) + 1
    for metric in (metrics.mmd, metrics.energy_distance, metrics.exact_w2):
        first, again, other = (
            metric(x, y, max_points=100, seed=seed) for seed in (0, 0, 1)
        )
        assert first == again != other


def test_sliced_distance_of_a_translation_and_in_one_dimension(generator, monkeypatch):
    x = normal(200, 3, generator)
    assert metrics.sliced_w2(x, x + 2, n_projections=2000) == pytest.approx(
        2, rel=0.05
    )  # |c| / sqrt(d)
    a, b = normal(50, 1, generator), 3 * normal(50, 1, generator)
    expected = math.sqrt(float((a.sort(0).values - b.sort(0).values).square().mean()))
    assert metrics.sliced_w2(a, b, n_projections=5) == pytest.approx(
        expected, rel=1e-10
    )
    whole = metrics.sliced_w2(x, x[:150] + 1, n_projections=20, seed=3)
    compute_at_once(monkeypatch, 1000)
    assert metrics.sliced_w2(x, x[:150] + 1, n_projections=20, seed=3) == pytest.approx(
        whole, rel=1e-12
    )


def test_sinkhorn_divergence_is_pots_and_near_w2(generator):
    import ot

    x, y = normal(60, 2, generator), normal(50, 2, generator) + 3
    expected = ot.bregman.empirical_sinkhorn_divergence(
        x.numpy(), y.numpy(), 0.5, stopThr=1e-10
    )
    assert metrics.sinkhorn_divergence(x, y, reg=0.5, tol=1e-10) == pytest.approx(
        float(expected), rel=1e-6
    )
    assert metrics.sinkhorn_divergence(x, x + 3) == pytest.approx(18, rel=1e-3)
    assert metrics.sinkhorn_divergence(x, x) == pytest.approx(0, abs=1e-9)


def test_sinkhorn_divergence_does_not_underflow(generator):
    x = normal(40, 2, generator)
    assert metrics.sinkhorn_divergence(x, x + 1000) == pytest.approx(2e6, rel=1e-3)
    assert metrics.sinkhorn_divergence(
        torch.zeros(3, 2), torch.ones(3, 2)
    ) == pytest.approx(2, rel=1e-6)


def test_sinkhorn_divergence_says_when_it_has_not_converged(generator):
    x, y = normal(60, 2, generator), normal(50, 2, generator) + 3
    with pytest.warns(ConvergenceWarning, match="raise max_steps"):
        metrics.sinkhorn_divergence(x, y, reg=0.05, max_steps=2)


def test_exact_distance_is_the_assignment(generator):
    x, y = (
        normal(80, 3, generator, torch.float32),
        normal(80, 3, generator, torch.float32) + 1,
    )
    cost = cdist(x, y, "sqeuclidean")
    best = cost[optimize.linear_sum_assignment(cost)].mean()
    assert metrics.exact_w2(x, y) == pytest.approx(math.sqrt(best), rel=1e-6)
    assert metrics.exact_w2(x.double(), x.double() + 2) == pytest.approx(
        2 * math.sqrt(3), rel=1e-9
    )
    assert metrics.exact_w2(x[:10], y) > 0


def test_bures_distance(generator):
    import ot

    a, b = (normal(6, 4, generator) for _ in range(2))
    m0, m1 = normal(2, 4, generator)
    c0, c1 = a.mT @ a, b.mT @ b
    value = metrics.bures_w2(m0, c0, m1, c1)
    assert value == pytest.approx(
        float(ot.gaussian.bures_wasserstein_distance(m0, m1, c0, c1)), rel=1e-8
    )
    root = linalg.sqrtm(c0.numpy())
    square = float((m0 - m1).square().sum() + c0.trace() + c1.trace())
    square -= 2 * np.trace(linalg.sqrtm(root @ c1.numpy() @ root)).real
    assert value == pytest.approx(math.sqrt(square), rel=1e-8)
    assert metrics.bures_w2(m0, c0, m0 + 1, c0) == pytest.approx(2, rel=1e-6)


def test_bures_distance_of_singular_covariances():
    zero, line = torch.zeros(2), torch.diag(torch.tensor([4.0, 0.0]))
    assert metrics.bures_w2(zero, line, zero, torch.eye(2)) == pytest.approx(
        math.sqrt(2), rel=1e-6
    )
    assert metrics.bures_w2(zero, line, zero, line) == pytest.approx(0, abs=1e-6)


# ---- what cannot be used


TWO_SIDED = [
    metrics.mmd,
    metrics.median_bandwidths,
    metrics.energy_distance,
    metrics.sliced_w2,
    metrics.sinkhorn_divergence,
    metrics.exact_w2,
]


@pytest.mark.parametrize("metric", [*TWO_SIDED, metrics.l2_uvp])
def test_samples_that_do_not_fit_are_named(metric):
    x = torch.zeros(4, 2)
    with pytest.raises(
        DataError, match=r"\w+: has shape \(4, 3\), but \w+ has \(4, 2\)"
    ):
        metric(x, torch.zeros(4, 3))
    with pytest.raises(DataError, match="rows"):
        metric(x[0], x)
    with pytest.raises(DataError, match="NaN"):
        metric(x, x.clone().fill_(torch.nan))


def test_settings_out_of_range_are_named():
    x = torch.zeros(4, 2)
    with pytest.raises(DataError, match="same rows"):
        metrics.cosine(x, x, x[:3])
    with pytest.raises(DataError, match="n >= 2"):
        metrics.mmd(x[:1], x)
    with pytest.raises(DataError, match="variance: is"):
        metrics.l2_uvp(x, x)
    with pytest.raises(DataError, match="bandwidths"):
        metrics.mmd(x, x, [1.0, 0.0])
    with pytest.raises(DataError, match="max_points"):
        metrics.energy_distance(x, x, max_points=1)
    with pytest.raises(DataError, match="n_projections"):
        metrics.sliced_w2(x, x, n_projections=0)
    with pytest.raises(DataError, match="reg: is"):
        metrics.sinkhorn_divergence(x, x, reg=0.0)
    with pytest.raises(DataError, match="cov1"):
        metrics.bures_w2(x[0], torch.eye(2), x[0], torch.eye(3))
    with pytest.raises(DataError, match="cov0"):
        metrics.bures_w2(x[0], torch.full((2, 2), torch.inf), x[0], torch.eye(2))


def test_without_pot_the_extra_is_named(monkeypatch):
    importing = builtins.__import__

    def without_pot(name, *rest):
        if name == "ot":
            raise ImportError("No module named 'ot'", name="ot")
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pot)
    with pytest.raises(DataError, match=r"brenier\[metrics\]"):
        metrics.exact_w2(torch.zeros(4, 2), torch.zeros(4, 2))


@pytest.mark.parametrize("name", ["exact_w2", "sliced_w2", "sinkhorn_divergence"])
def test_whole_weights_stand_for_repeated_rows(generator, name):
    x, y = normal(30, 2, generator), normal(40, 2, generator) + 1
    times = torch.arange(30) % 3 + 1
    metric = getattr(metrics, name)
    told = {"reg": 1.0} if name == "sinkhorn_divergence" else {}
    weighted = metric(x, y, weights=(times, None), **told)
    repeated = metric(x.repeat_interleave(times, 0), y, **told)
    assert weighted == pytest.approx(repeated, rel=1e-5)
    assert metric(x, y, weights=(torch.ones(30), None), **told) == metric(x, y, **told)


@pytest.mark.parametrize("metric", [metrics.energy_distance, metrics.mmd])
def test_weighted_discrepancies_are_without_bias(generator, metric):
    values = []
    for _ in range(100):
        x, y = normal(100, 1, generator), normal(100, 1, generator) + 1
        weights = torch.exp(x[:, 0])  # N(0, 1) counts as N(1, 1)
        told = {"bandwidths": (1.0,)} if metric is metrics.mmd else {}
        values.append(metric(x, y, weights=(weights, None), **told))
    assert abs(np.mean(values)) < 3 * np.std(values) / 10


@pytest.mark.parametrize("metric", [metrics.energy_distance, metrics.exact_w2])
def test_bad_weights_of_metrics_are_named(generator, metric):
    x = normal(10, 2, generator)
    for bad in (torch.ones(3), -torch.ones(10), torch.zeros(10)):
        with pytest.raises(DataError, match=r"^weights of x: "):
            metric(x, x, weights=(bad, None))
