"""Two-sample tests: scores of the right size under one law, and large ones for two laws with equal moments."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from brenier.statistics import TwoSampleSettings, normal_score, two_sample_score


def test_few_rows_need_more_standard_errors() -> None:
    rng, rows, errors = np.random.default_rng(0), 4, 2.0
    samples = rng.normal(size=(200_000, rows))
    scores = samples.mean(-1) / (samples.std(-1, ddof=1) / rows**0.5)
    least = brentq(lambda found: normal_score(found, rows) - errors, 0.0, 100.0)
    assert (scores > least).mean() == pytest.approx(0.02275, rel=0.05)  # P(N(0, 1) > 2)
    assert normal_score(errors, 10**7) == pytest.approx(errors, rel=1e-4)


def test_samples_of_one_law_are_seldom_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 40, 2, generator=generator) for _ in range(100)]
    scores = torch.tensor([two_sample_score(x, z[:30], generator) for x, z in draws])
    assert abs(float((scores > 1).double().mean()) - 0.16) < 0.12  # P(N(0, 1) > 1)
    assert int((scores > 3).sum()) <= 1


def test_laws_of_equal_moments_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.empty(3000, 2).exponential_(generator=generator) - 1
    z = 1 - torch.empty(1500, 2).exponential_(generator=generator)
    assert two_sample_score(x, z, generator) > 3
    assert two_sample_score(x[:1500], x[1500:], generator) < 2


@pytest.mark.parametrize("rows", [2, 4])
def test_few_rows_refute_nothing(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=generator)
    assert two_sample_score(x, x + 100, generator) < 2


def test_permutations_bound_the_score() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 2, generator=generator)
    settings = TwoSampleSettings(permutations=9, permuted_rows=20)
    # The largest of ten energies: as large as one in ten.
    assert two_sample_score(x, x + 9, generator, settings=settings) == pytest.approx(
        1.2816, abs=1e-3
    )
