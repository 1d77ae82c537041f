"""Calibration: batches have the means of their population, and their own are the regression estimator."""

import numpy as np
import pytest
import torch
from problems import normal

from brenier.statistics import Calibration, CalibrationSettings, Features

SETTINGS = CalibrationSettings()


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
        (1024, 2, 1024 // SETTINGS.rows_per_wave),  # 2 + 3 and waves
        (1024, 12, 12 + 78),
        (1024, 16, 16 + 136),
        (1024, 20, 1024 // SETTINGS.rows_per_wave),
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
    assert expected <= n // SETTINGS.rows_per_feature


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
    far, clipped = torch.tensor([[1e6], [-1e6]]), torch.tensor([[1.0], [-1.0]])
    assert torch.equal(features(far), features(SETTINGS.clip_at * clipped))


def test_settings_decide_on_features_and_ridge() -> None:
    settings = CalibrationSettings(
        rows_per_feature=2, rows_per_wave=64, clip_at=1.0, calibration_ridge=1e9
    )
    generator = torch.Generator().manual_seed(0)
    features = Features(64, torch.zeros(0, 7), generator, settings=settings)
    assert features(torch.randn(5, 7)).shape == (5, 7 + 7)  # and no waves
    assert float(features(torch.full((1, 7), 9.0)).max()) == 1.0
    known = Calibration(features, torch.randn(500, 7), True, settings=settings)
    assert torch.allclose(known.weights(torch.randn(64, 7)), torch.tensor(1 / 64))


@pytest.mark.parametrize("d", [1, 2, 5, 40])
def test_the_weighted_batch_is_closer_to_the_population(d: int) -> None:
    population, batch = normal(5000, d), normal(1000, d, seed=1)
    known = calibration(400, d, population)
    weights = known.weights(batch)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)
    assert float(weights.min()) >= 0
    missing = known.features(batch).mean(0) - known.mean
    remaining = weights @ known.features(batch) - known.mean
    assert float(remaining.norm()) < 0.4 * float(missing.norm())


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
    plain, weighted = [], []
    for batch in normal(3000 * 100, 1, seed=2).split(100):
        plain.append(float(answer(batch).mean()))
        weighted.append(float(known.weights(batch) @ answer(batch)))
    assert abs(np.mean(weighted) - np.mean(plain)) < 4 * np.std(
        np.subtract(weighted, plain)
    ) / np.sqrt(3000)


def test_means_under_the_weights_have_less_noise() -> None:
    population = normal(100_000, 4)
    known = calibration(256, 4, population)

    def answer(u: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.celu(u @ torch.ones(4, dtype=u.dtype)) + u[:, 0] ** 2

    plain, weighted = [], []
    for seed in range(200):
        batch = normal(256, 4, seed=1000 + seed)
        plain.append(float(answer(batch).mean()))
        weighted.append(float(known.weights(batch) @ answer(batch)))
    assert np.std(weighted) < 0.35 * np.std(plain)
    assert abs(np.mean(weighted) - float(answer(population).mean())) < 4 * np.std(
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


def test_known_means_are_saved_and_loaded() -> None:
    known, other = (
        calibration(90, 2, normal(100, 2, seed=seed), complete=False) for seed in (0, 1)
    )
    known.weights(normal(90, 2, seed=2))
    other.load_state_dict(known.state_dict())
    assert torch.equal(other.mean, known.mean)
    batch = normal(90, 2, seed=3)
    assert torch.equal(other.weights(batch), known.weights(batch))
