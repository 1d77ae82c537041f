"""Fits by covariate against closed forms: values seen and unseen, a side without, and the distance over all values."""

from pathlib import Path

import torch
from fits import quick

from brenier import ConditionalMap, load
from brenier.datasets import CovariateGaussians
from brenier.metrics import l2_uvp

# ---- what is learnt


def test_a_family_of_gaussians_at_values_never_seen(
    tmp_path: Path, generator: torch.Generator
) -> None:
    family = CovariateGaussians(3)
    c, e = torch.rand(2, 12_000, generator=generator, dtype=torch.float64)
    c, e = (
        values[(values - 0.5).abs() > 0.1] for values in (c, e)
    )  # the middle is never seen
    x, z = family.sample(0, c, generator), family.sample(1, e, generator)
    ot = quick().fit(x, z, source_covariates=c, target_covariates=e)
    for value in (0.1, 0.5, 0.9):
        fresh = family.sample(0, torch.full((2000,), value), generator)
        truth = family.forward(fresh, value)
        moved = ot.transform(fresh, covariates=value)
        assert l2_uvp(moved, truth) < 0.5
        torch.testing.assert_close(ot.map_.at(value)(fresh), moved)
        assert l2_uvp(ot.inverse_transform(truth, covariates=value), fresh) < 0.5
    ot.save(tmp_path / "model")
    assert torch.equal(
        load(tmp_path / "model").transform(x, covariates=c),
        ot.transform(x, covariates=c),
    )
    assert isinstance(ot.map_, ConditionalMap)
    assert ot.labels_ is None


def test_levels_of_two_covariates_and_a_source_that_has_none(
    generator: torch.Generator,
) -> None:
    levels = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    c = levels[torch.randint(len(levels), (6000,), generator=generator)]
    z = torch.randn(6000, 2, generator=generator) * (1 + c[:, :1]) + c[:, 1:]
    x = torch.randn(3000, 2, generator=generator).double()
    ot = quick().fit(x, z, target_covariates=c)
    for level in levels:
        truth = x * (1 + level[0]) + level[1]
        assert l2_uvp(ot.transform(x, covariates=level), truth) < 1


def test_the_network_learns_what_varies_with_a_covariate(
    generator: torch.Generator,
) -> None:
    """X + c tanh(3x) is optimal for every c."""
    c = torch.rand(4000, generator=generator, dtype=torch.float64)
    x, y = torch.randn(2, 4000, 2, generator=generator, dtype=torch.float64)
    z = y + 3 * c[:, None] * torch.tanh(3 * y)
    ot = quick(max_steps=200).fit(x, z, source_covariates=c, target_covariates=c)
    assert ot.diagnostics_["selected"] == "network"
    for value in (0.2, 0.8):
        truth = x + 3 * value * torch.tanh(3 * x)
        affine = ot.map_.conditions.at(
            ot.map_.conditions.encode_index(value, "c", 1)[0]
        )
        start = l2_uvp(affine.decode_target(affine.encode_source(x)), truth)
        assert l2_uvp(ot.transform(x, covariates=value), truth) < max(0.6 * start, 0.5)
