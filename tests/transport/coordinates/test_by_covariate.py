"""Coordinates at every value of covariates: closed forms at the knots, between them, and what may be given."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import DataError
from brenier.datasets import CovariateGaussians
from brenier.metrics import l2_uvp
from brenier.transport.coordinates import (
    CoordinateSettings,
    CovariateRows,
    Covariates,
    covariate_coordinates,
    plain_coordinates,
)

UNIT = torch.ones(2, dtype=torch.float64)


def moved_by(c: Tensor, n: int = 2000) -> tuple[CovariateRows, CovariateRows]:
    """Gaussians of which the target's mean is the covariates' sum, and its deviation 1 + |c|."""
    x, y = normal(n, 2, seed=1), normal(n, 2, seed=2)
    total = c.sum(-1, keepdim=True)
    return CovariateRows(x, c), CovariateRows((1 + total.abs()) * y + total, c)


def uniform(n: int, p: int, seed: int = 0) -> Tensor:
    """Uniform numbers in [0, 2]."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, p, generator=generator, dtype=torch.float64)


# ---- what may be given


def test_covariates_are_scaled_to_the_range_seen() -> None:
    c = uniform(200, 2)
    found = covariate_coordinates(*moved_by(c, 200), UNIT)
    index = found.encode_index(c, "covariates", 200)
    torch.testing.assert_close(index.amin(0), -torch.ones(2).double())
    torch.testing.assert_close(index.amax(0), torch.ones(2).double())
    assert torch.equal(found.scaled(c), index)
    assert found.kind == "covariates"


DEPENDENT: dict[str, Callable[[Tensor], Tensor]] = {
    "constant": lambda c: torch.cat([c, torch.full_like(c, 3.0)], 1),
    "twice the same": lambda c: torch.cat([c, 4 - c], 1),
    "two of three": lambda c: torch.cat([c, c.flip(0), c - c.flip(0)], 1),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_covariates_may_depend_on_each_other(name: str) -> None:
    c = DEPENDENT[name](uniform(500, 1))
    source, target = moved_by(c[:, :1], 500)
    target = target._replace(covariates=c)
    found = covariate_coordinates(source._replace(covariates=c), target, UNIT)
    affine = found.side(found.scaled(c)).affine
    assert torch.isfinite(affine.basis).all()
    assert (affine.target_mean - c[:, :1]).abs().mean() < 0.3


@pytest.mark.parametrize("given", [0.5, [0.5], np.array([0.5]), torch.tensor([[0.5]])])
def test_one_value_serves_all_rows(given: Any) -> None:
    found = covariate_coordinates(*moved_by(uniform(200, 1), 200), UNIT)
    index = found.encode_index(given, "covariates", 3)
    assert index.shape == (3, 1)
    assert (index == index[0]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0, 2.0, 3.0]], "dose: have shape"),
        ([1.0, np.nan], "dose: hold NaN or inf, first in row"),
        (["a", "b"], "dose: are not numbers"),
    ],
)
def test_covariates_that_cannot_be_used_are_named(given: Any, message: str) -> None:
    found = covariate_coordinates(*moved_by(uniform(200, 2), 200), UNIT)
    with pytest.raises(DataError, match=re.escape(message)):
        found.encode_index(given, "dose", 4)


# ---- embeddings


def test_embeddings_are_values_and_places_on_half_a_circle() -> None:
    found = covariate_coordinates(*moved_by(uniform(200, 2), 200), UNIT)
    index = uniform(50, 2) - 1
    embedded = found.embedding(index)
    assert embedded.shape == (50, 6)
    assert torch.equal(embedded[:, :2], index)
    circle = embedded[:, 2:4].square() + embedded[:, 4:].square()
    torch.testing.assert_close(circle, torch.ones_like(circle))
    torch.testing.assert_close(embedded[:, 4:].asin() / (torch.pi / 2), index)


# ---- coordinates


def test_the_identity_is_the_gaussian_map_at_every_value() -> None:
    family, n = CovariateGaussians(3), 20_000
    generator = torch.Generator().manual_seed(0)
    c, e = torch.rand(2, n, generator=generator, dtype=torch.float64)
    x, z = family.sample(0, c, generator), family.sample(1, e, generator)
    found = covariate_coordinates(
        CovariateRows(x, c.unsqueeze(-1)),
        CovariateRows(z, e.unsqueeze(-1)),
        torch.ones(3, dtype=torch.float64),
    )
    for value in (0.05, 0.37, 0.61, 0.95):
        fresh = family.sample(0, torch.full((2000,), value).double(), generator)
        own = found.at(found.encode_index(value, "c", 1)[0])
        moved = own.decode_target(own.encode_source(fresh))
        assert l2_uvp(moved, family.forward(fresh, value)) < 0.3


@pytest.mark.parametrize("p", [1, 2])
def test_coordinates_at_the_knots_are_those_computed_there(p: int) -> None:
    found = covariate_coordinates(*moved_by(uniform(2000, p)), UNIT)
    for k, knot in enumerate(found.knots):
        own, there = found.at(knot), found.coordinates.pick(k)
        for name, part in there.tensors().items():
            torch.testing.assert_close(
                own.tensors()[name], part, rtol=1e-6, atol=1e-8, msg=name
            )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_basis_and_inverse_belong_together_at_values_never_seen(p: int) -> None:
    found = covariate_coordinates(*moved_by(uniform(2000, p)), UNIT)
    affine = found.side(2.2 * uniform(100, p, seed=5) - 2.2).affine
    product = affine.basis @ affine.inverse
    eye = torch.eye(2, dtype=torch.float64).expand_as(product)
    torch.testing.assert_close(product, eye, rtol=0, atol=1e-8)


def test_a_side_without_covariates_is_the_same_at_every_value() -> None:
    c = uniform(2000, 1)
    source, target = moved_by(c)
    found = covariate_coordinates(CovariateRows(source.rows, None), target, UNIT)
    affine = found.side(found.scaled(c[:50])).affine
    torch.testing.assert_close(
        affine.source_mean, source.rows.mean(0).expand(50, 2), rtol=0, atol=1e-9
    )
    away = (affine.target_mean - c[:50]).abs().mean()
    assert away < 0.2


def test_plain_coordinates_are_the_same_at_every_value() -> None:
    c = uniform(2000, 1)
    source, target = moved_by(c)
    found = covariate_coordinates(source, target, UNIT, gaussian=False)
    plain = plain_coordinates(source.rows, target.rows, UNIT)
    own = found.at(torch.tensor([0.123], dtype=torch.float64))
    for name, part in plain.tensors().items():
        torch.testing.assert_close(own.tensors()[name], part, msg=name)


# ---- knots


def few_values(p: int, levels: int) -> Covariates:
    """Coordinates of covariates that take a few values."""
    c = (uniform(500, p) * levels / 2).floor()
    return covariate_coordinates(*moved_by(c, 500), UNIT)


def test_few_values_are_all_knots() -> None:
    assert few_values(1, 4).knots.shape == (4, 1)
    assert few_values(2, 3).knots.shape == (9, 2)
    assert few_values(1, 1).knots.shape == (1, 1)


@pytest.mark.parametrize(("p", "most"), [(1, 17), (2, 32), (3, 64), (4, 64)])
def test_many_values_have_so_many_knots(p: int, most: int) -> None:
    found = covariate_coordinates(*moved_by(uniform(500, p), 500), UNIT)
    assert found.knots.shape == (most, p)


def test_the_number_of_knots_is_a_setting() -> None:
    settings = CoordinateSettings(knots_of_one=5, knots_of_two=6, knots_of_more=7)
    for p, most in ((1, 5), (2, 6), (3, 7)):
        c = moved_by(uniform(500, p), 500)
        found = covariate_coordinates(*c, UNIT, settings=settings)
        assert found.knots.shape == (most, p)


def test_one_or_two_knots_are_enough_to_interpolate() -> None:
    one, two = few_values(1, 1), few_values(1, 2)
    index = torch.tensor([[-1.0], [0.3], [1.0]], dtype=torch.float64)
    means = one.side(index).affine.target_mean
    torch.testing.assert_close(means, means[:1].expand(3, 2))
    means = two.side(index).affine.target_mean
    low, between, high = means[:, 0].tolist()
    assert low < between < high
