"""Shapes in the plane: as large as they should be, where they should be, and drawn by the generator alone."""

import math

import numpy as np
import pytest
import torch

from brenier.datasets import SHAPES, ShapePair

SIDES = [
    pytest.param(sampler, id=f"{name}, {side}")
    for name, pair in SHAPES.items()
    for side, sampler in (("source", pair.source), ("target", pair.target))
]
NOISE = 0.05**2
RISE = 2 / math.pi  # mean height of a half circle
# Means and variances of the two coordinates, without noise.
MOMENTS = {
    "circles": ((0, 0), (0.3125, 0.3125)),
    "moons": ((0.5, 0.25), (0.75, 0.5 - RISE**2 + (RISE - 0.25) ** 2)),
    "S-curve": ((0, 0), (0.5, 1.5 + 4 / (3 * math.pi))),
    "Gaussian": ((0, 0), (1 - NOISE, 1 - NOISE)),
    "eight blobs": ((0, 0), (8.09 - NOISE, 8.09 - NOISE)),
}


@pytest.mark.parametrize("sampler", SIDES)
def test_samples_are_finite_rows_in_the_plane(sampler, generator) -> None:
    for n in (1, 7, 100):
        rows = sampler(n, generator)
        assert (rows.shape, rows.dtype) == ((n, 2), torch.float64)
        assert torch.isfinite(rows).all()


@pytest.mark.parametrize("sampler", SIDES)
def test_the_generator_is_the_only_randomness(sampler) -> None:
    np.random.seed(0)  # noqa: NPY002
    untouched = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    generator, again = (torch.Generator().manual_seed(3) for _ in range(2))
    first = sampler(50, generator)
    assert torch.equal(sampler(50, again), first)
    assert not torch.equal(sampler(50, generator), first)
    assert np.random.random() == untouched  # noqa: NPY002


@pytest.mark.parametrize("name", SHAPES)
def test_both_sides_have_the_moments_of_their_shapes(name, generator) -> None:
    pair = SHAPES[name]
    assert isinstance(pair, ShapePair)
    n = 20_000
    for shape, sampler in zip(
        name.split(" to "), (pair.source, pair.target), strict=True
    ):
        rows = sampler(n, generator)
        means, variances = (
            torch.tensor(m, dtype=torch.float64) for m in MOMENTS[shape]
        )
        squares = (rows - means).square()
        assert ((rows.mean(0) - means).abs() < 4 * rows.std(0) / n**0.5).all()
        error = 4 * squares.std(0) / n**0.5
        assert ((squares.mean(0) - variances - NOISE).abs() < error).all()


def test_the_circles_are_two_and_the_blobs_eight(generator) -> None:
    radii = SHAPES["moons to circles"].target(1000, generator).norm(dim=1)
    near = [(radii - radius).abs() < 0.25 for radius in (0.5, 1.0)]
    assert [int(rows.sum()) for rows in near] == [500, 500]
    rows = SHAPES["Gaussian to eight blobs"].target(8000, generator)
    turn = torch.atan2(rows[:, 1], rows[:, 0]) * 4 / math.pi
    counts = torch.bincount(turn.round().long() % 8)
    assert len(counts) == 8
    assert ((counts - 1000).abs() < 150).all()
    assert float((turn - turn.round()).abs().max()) < 0.5
    assert float((turn - turn.round()).std()) < 0.15  # gaps between them


def test_the_mapping_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SHAPES["moons to circles"] = SHAPES["circles to moons"]  # type: ignore[index]
