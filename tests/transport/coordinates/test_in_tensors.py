"""Coordinates of conditions by operations on tensors are those that SciPy and tables give."""

import numpy as np
import pytest
import torch
from problems import normal, positive_definite
from torch import Tensor

from brenier.statistics import Gaussian
from brenier.transport.coordinates import (
    Classes,
    CovariateRows,
    aligned_coordinates,
    covariate_coordinates,
    tensor_conditions,
)


def covariates(kind: str, n: int = 300) -> Tensor:
    """Covariates (n, p) of which there are few or many values, or whose columns depend on each other."""
    generator = torch.Generator().manual_seed(3)
    first = torch.rand(n, 1, generator=generator, dtype=torch.float64) * 3 + 1
    second = torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return {
        "one value": first * 0 + 2.0,
        "two values": (first > 2).double(),
        "a few values": (4 * first).round(),
        "one": first,
        "two": torch.cat([first, second], -1),
        "three": torch.cat([first, second, first * second], -1),
        "dependent": torch.cat([first, 2 * first - 1], -1),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("one value", "two values", "a few values"),
        *("one", "two", "three", "dependent"),
    ],
)
def test_interpolation_is_that_of_scipy(kind: str) -> None:
    given = covariates(kind)
    x = normal(len(given), 3) * (1 + given[:, :1].abs()) + given[:, :1]
    z = normal(len(given), 3, seed=1) @ positive_definite(3, condition=4.0)
    known = covariate_coordinates(
        CovariateRows(x, given), CovariateRows(z, given), torch.ones(3).double()
    )
    beyond = given.amin(0) + (given.amax(0) - given.amin(0)) * (
        1.4 * torch.rand(50, given.shape[1], dtype=torch.float64) - 0.2
    )
    at = torch.cat([beyond, given[:20]])
    found = tensor_conditions(known).side(at)
    expected = known.side(known.scaled(at))
    rows = normal(len(at), 3, seed=2)
    for name in ("encode_source", "encode_target"):
        torch.testing.assert_close(
            getattr(found, name)(rows),
            getattr(expected, name)(rows),
            rtol=1e-8,
            atol=1e-8,
        )
    for name in ("decode_source", "decode_target"):
        points = torch.cat([rows, found.embedding], -1)
        torch.testing.assert_close(
            getattr(found, name)(points),
            getattr(expected, name)(points),
            rtol=1e-8,
            atol=1e-8,
        )


@pytest.mark.parametrize("count", [2, 70])
def test_classes_are_looked_up_in_tables(count: int) -> None:
    pairs = [
        (
            Gaussian(normal(2, seed=k), positive_definite(2, condition=3.0, seed=k)),
            Gaussian(normal(2, seed=-k), positive_definite(2, condition=5.0, seed=k)),
        )
        for k in range(1, count + 1)
    ]
    coordinates = aligned_coordinates(pairs, torch.ones(2).double())
    classes = Classes(tuple(range(count)), coordinates)
    numbers = torch.from_numpy(np.random.default_rng(0).integers(count, size=40))
    found, expected = (
        tensor_conditions(classes).side(numbers),
        classes.side(numbers),
    )
    rows = normal(40, 2)
    assert torch.equal(found.encode_source(rows), expected.encode_source(rows))
    assert torch.equal(found.encode_target(rows), expected.encode_target(rows))
