"""Calibration: batches have the means of their population, and their own are the regression estimator."""

import numpy as np
import pytest
import torch
from problems import normal

from brenier.statistics.calibration import (
    FAR,
    PER_FEATURE,
    PER_WAVE,
    Calibration,
    Features,
)


def calibration(
    n: int, d: int, population: torch.Tensor, complete: bool = True
) -> Calibration:
    return Calibration(
        Features(n, population[:0], torch.Generator().manual_seed(0)),
        population,
        complete,
    )


@pytest.mark.parametrize(
    ("n", "d", "expected"),
    [
        (1024, 2, 1024 // PER_WAVE),  # 2 + 3 and waves
        (1024, 12, 12 + 78),
        (1024, 16, 16 + 136),
        (1024, 20, 1024 // PER_WAVE),
        (1024, 64, 64 + 64),
        (1024, 150, 150),
        (1024, 300, 0),
        (7, 2, 0),
    ],
)
def test_a_batch_bears_as_many_features_as_it_has_rows_for(
    n: int, d: int, expected: int
) -> None:
    features = Features(n, torch.zeros(0, d), torch.Generator().manual_seed(0))
    assert features(torch.randn(5, d)).shape == (5, expected)
    assert expected <= n // PER_FEATURE


def test_features_are_coordinates_products_and_waves() -> None:
    features = Features(
        64, torch.zeros(0, 1, dtype=torch.float64), torch.Generator().manual_seed(0)
    )
    u = normal(6, 1)
    found = features(u)
    assert torch.equal(found[:, :1], u)
    assert torch.equal(found[:, 1:2], u.square())
    assert torch.allclose(
        found[:, 2:], torch.cos(u * features.frequency + features.phase)
    )


def test_far_coordinates_count_no_further() -> None:
    features = Features(64, torch.zeros(0, 1), torch.Generator().manual_seed(0))
    assert torch.equal(
        features(torch.tensor([[1e6], [-1e6]])), features(torch.tensor([[FAR], [-FAR]]))
    )


@pytest.mark.parametrize("d", [1, 2, 5, 40])
def test_the_weighted_batch_is_closer_to_the_population(d: int) -> None:
    population, batch = normal(5000, d), normal(1000, d, seed=1)
    known = calibration(400, d, population)
    weights = known.weights(batch)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)
    assert float(weights.min()) >= 0
    missing = known.features(batch).mean(0) - known.mean
    left = weights @ known.features(batch) - known.mean
    assert float(left.norm()) < 0.4 * float(missing.norm())


def test_a_weighted_mean_is_each_half_corrected_by_the_regression_in_the_other() -> (
    None
):
    batch = normal(2001, 3, seed=1)
    known = calibration(100, 3, normal(4000, 3))
    answers = torch.sin(batch).sum(-1) + batch[:, 0] ** 3
    features, expected = known.features(batch), 0.0
    for own, other in (
        (slice(0, None, 2), slice(1, None, 2)),
        (slice(1, None, 2), slice(0, None, 2)),
    ):
        design = np.column_stack([np.ones(len(features[own])), features[own].numpy()])
        beta, *_ = np.linalg.lstsq(design, answers[own].numpy(), rcond=None)
        missing = (features[other].mean(0) - known.mean).numpy()
        expected += (
            float(answers[own].sum()) - len(features[own]) * beta[1:] @ missing
        ) / 2001
    assert float(known.weights(batch) @ answers) == pytest.approx(
        expected, abs=1e-4
    )  # but for the ridge


def test_means_under_the_weights_have_no_bias() -> None:
    answer = lambda u: u[:, 0] ** 4  # noqa: E731, whose regression on u and u^2 is biased in small samples
    known = Calibration(
        Features(30, torch.zeros(0, 1, dtype=torch.float64), torch.Generator()),
        normal(10**6, 1),
        True,
    )
    plain, weighed = [], []
    for batch in normal(3000 * 100, 1, seed=2).split(100):
        plain.append(float(answer(batch).mean()))
        weighed.append(float(known.weights(batch) @ answer(batch)))
    assert abs(np.mean(weighed) - np.mean(plain)) < 4 * np.std(
        np.subtract(weighed, plain)
    ) / np.sqrt(3000)


def test_means_under_the_weights_have_less_noise() -> None:
    population = normal(100_000, 4)
    known = calibration(256, 4, population)

    def answer(u: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.celu(u @ torch.ones(4, dtype=u.dtype)) + u[:, 0] ** 2

    plain, weighed = [], []
    for seed in range(200):
        batch = normal(256, 4, seed=1000 + seed)
        plain.append(float(answer(batch).mean()))
        weighed.append(float(known.weights(batch) @ answer(batch)))
    assert np.std(weighed) < 0.35 * np.std(plain)
    assert abs(np.mean(weighed) - float(answer(population).mean())) < 4 * np.std(
        plain
    ) / np.sqrt(200)


def test_one_far_row_does_not_decide() -> None:
    batch = normal(256, 2)
    batch[0] *= 1e4
    weights = calibration(256, 2, normal(2000, 2, seed=1)).weights(batch)
    assert float(weights.min()) >= 0
    assert float(weights.max()) < 10 / 256
    assert float(weights.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "batch", [torch.zeros(50, 2), torch.full((50, 2), 1e30), torch.randn(1, 2)]
)
def test_batches_that_cannot_be_calibrated_keep_finite_weights_of_sum_one(
    batch: torch.Tensor,
) -> None:
    weights = calibration(50, 2, torch.randn(100, 2)).weights(batch)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert bool(weights.isfinite().all())


def test_batches_of_an_endless_population_improve_what_is_known() -> None:
    rows, batches = normal(100, 2), normal(900, 2, seed=1)
    known = calibration(90, 2, rows, complete=False)
    for part in batches.split(90):
        known.weights(part)
    expected = known.features(torch.cat([rows, batches])).mean(0)
    assert torch.allclose(known.mean, expected)
    fixed = calibration(90, 2, rows)
    fixed.weights(batches)
    assert torch.equal(fixed.mean, fixed.features(rows).mean(0))


def test_what_was_learnt_can_be_put_down_and_taken_up() -> None:
    known, other = (
        calibration(90, 2, normal(100, 2, seed=seed), complete=False) for seed in (0, 1)
    )
    known.weights(normal(90, 2, seed=2))
    other.load_state_dict(known.state_dict())
    assert torch.equal(other.mean, known.mean)
    batch = normal(90, 2, seed=3)
    assert torch.equal(other.weights(batch), known.weights(batch))
