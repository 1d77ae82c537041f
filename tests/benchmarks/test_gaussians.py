"""The sampling floor, and the targets."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gaussians
from benchmarks.harness import Ledger
from brenier.datasets import gaussian_pair


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path, ("--dims", "2"))


def test_the_floor_is_the_affine_map_between_moments(
    generator: torch.Generator,
) -> None:
    pair = gaussian_pair(4, seed=1)
    errors = []
    for n in (2_000, 32_000):
        x, z = pair.source(n, generator), pair.target(n, generator)
        source_mean, target_mean, matrix = gaussians.plug_in(x, z)
        moved = target_mean + (x.double().numpy() - source_mean) @ matrix
        np.testing.assert_allclose(
            np.cov(moved.T), np.cov(z.double().numpy().T), atol=1e-10
        )
        np.testing.assert_allclose(matrix, matrix.T)
        errors.append(gaussians.floor(pair, x, z, 2000, 0)["forward_floor"])
    assert errors[1] == pytest.approx(errors[0] / 16, rel=1.5)  # falls like 1 / n


def test_the_target_on_fresh_samples_is_a_tenth_of_the_paper(ledger: Ledger) -> None:
    met = gaussians.STREAMED.columns[-1].value
    assert callable(met)
    for error, good in ((0.0053, True), (0.0054, False)):
        row = ledger.record(
            "d=16", "m", 0, partial(dict, forward_uvp=error, backward_uvp=0.001), dim=16
        )
        assert met(row) is good
