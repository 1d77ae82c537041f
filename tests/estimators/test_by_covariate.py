"""Fits by covariate against closed forms: values seen and unseen, a side without, and the distance over all values."""

import dataclasses
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import quick
from problems import normal

from brenier import ConditionalMap, DataError, OptimalTransport, load
from brenier.datasets import CovariateGaussians
from brenier.estimators import by_covariate
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


@pytest.mark.slow
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


# ---- the distance over all values

# What moves the mean of the target away at a value c, and its deviation.
Law = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
LAWS: dict[str, Law] = {
    "a shift in proportion": lambda c: (c * torch.tensor([1.0, 2.0]), torch.ones(1)),
    "a shift throughout": lambda c: (2 + c * torch.tensor([1.0, 2.0]), torch.ones(1)),
    "a shift and a scale": lambda c: (c * torch.tensor([2.0, 0.0]), 1 + c),
}


def true_distance(law: Law) -> float:
    """The root of E over c of |m(c)|^2 + 2 (s(c) - 1)^2, for c uniform on (0, 1)."""
    c = (torch.arange(10_000, dtype=torch.float64).unsqueeze(-1) + 0.5) / 10_000
    shift, scale = law(c)
    square = shift.square().sum(-1).mean() + 2 * (scale - 1).square().mean()
    return float(square) ** 0.5


def measured(
    law: Law, seed: int, lent: str = "", rows: tuple[int, int] = (1500, 1500)
) -> OptimalTransport:
    """A fit of two Gaussians whose map depends on a covariate; a side that is lent its values has none."""
    generator = torch.Generator().manual_seed(seed)
    c, e = (torch.rand(n, 1, generator=generator).double() for n in rows)
    x, y = (torch.randn(n, 2, generator=generator).double() for n in rows)
    shift, scale = law(e)
    few = {"coordinate_rows": 1000, "moment_rows": 1000}
    ot = quick(random_state=seed, max_steps=5, settings=few)
    told: dict[str, Any] = {"source_covariates": c, "target_covariates": e}
    if lent:
        del told[f"{lent}_covariates"]
    if lent == "target":  # the map from what depends on c to what does not
        shift, scale = law(c)
        return ot.fit(shift + scale * x, y, **told)
    return ot.fit(x, shift + scale * y, **told)


def standardised(law: Law, seeds: int, **told: Any) -> list[float]:
    """Errors of estimates in their own standard errors."""
    found = [measured(law, seed, **told).distance() for seed in range(seeds)]
    return [(one.w2 - true_distance(law)) / one.w2_error for one in found]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_distance_is_that_of_the_closed_form(law: Law, seed: int) -> None:
    found = measured(law, seed).distance()
    truth = true_distance(law)
    assert abs(found.w2 - truth) < 4 * found.w2_error
    assert found.squared_error < 0.3 * truth**2 + 0.1
    assert abs(found.primal - truth) < 5 * found.primal_error
    assert found.lower <= found.w2 + 1e-9
    assert found.held_out
    assert found.unconverged == 0
    assert all(10 < rows <= 150 for rows in found.rows)


def covers(off: list[float]) -> None:
    """Errors are of about one standard error, and none is wild; of 20 about 14 are within one."""
    assert max(map(abs, off)) < 4
    assert sum(abs(one) < 1 for one in off) >= 0.45 * len(off)
    assert sum(abs(one) < 2 for one in off) >= 0.8 * len(off)
    assert 0.5 < statistics.pstdev(off) < 1.5
    assert abs(statistics.mean(off)) < 3 / len(off) ** 0.5


@pytest.mark.slow
def test_the_distance_covers_the_truth_as_often_as_it_claims() -> None:
    covers(standardised(LAWS["a shift throughout"], 20))


@pytest.mark.slow
@pytest.mark.parametrize("lent", ["source", "target"])
def test_so_it_does_where_one_side_has_no_covariates(lent: str) -> None:
    """Its rows are there with several values each, and the values are those of the other side."""
    covers(standardised(LAWS["a shift throughout"], 20, lent=lent))


@pytest.mark.slow
def test_copies_of_few_rows_are_no_evidence() -> None:
    """Thirty rows that certify are each there with dozens of values."""
    told: dict[str, Any] = {"lent": "source", "rows": (300, 3000)}
    covers(standardised(LAWS["a shift throughout"], 20, **told))
    found = measured(LAWS["a shift throughout"], 0, **told).distance()
    assert found.rows[0] <= 30


def test_measuring_changes_nothing_that_is_drawn_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = measured(LAWS["a shift and a scale"], 3)
    blank = dataclasses.replace(first.distance(), w2=-1.0)
    monkeypatch.setattr(by_covariate, "pooled_distance", lambda *_, **__: blank)
    second = measured(LAWS["a shift and a scale"], 3)
    assert second.distance() is blank
    x, c = normal(50, 2), [0.3]
    assert torch.equal(
        first.transform(x, covariates=c), second.transform(x, covariates=c)
    )
    assert first.diagnostics_ == second.diagnostics_


def test_the_distance_is_the_same_every_time_and_is_saved(tmp_path: Path) -> None:
    law = LAWS["a shift in proportion"]
    first, second = measured(law, 0), measured(law, 0)
    assert first.distance() == second.distance() == first.map_.distance()
    first.save(tmp_path)
    again = load(tmp_path)
    assert again.distance() == first.distance()
    assert again.map_.pooled_distance == first.map_.pooled_distance


def test_labels_are_no_values_of_covariates() -> None:
    ot = measured(LAWS["a shift in proportion"], 0)
    for label in ("a", 0.5, 0):
        with pytest.raises(
            DataError, match=r"^label: .*leave it out .*`map_\.distance\(c, x, z\)`"
        ):
            ot.distance(label)
    with pytest.raises(DataError, match=r"^label: .*leave it out, or fit with labels"):
        quick(max_steps=1).fit(normal(50, 2), normal(50, 2)).distance("a")


def test_the_distance_at_one_value_is_measured_on_samples_of_it() -> None:
    ot = measured(LAWS["a shift in proportion"], 0, rows=(4000, 4000))
    x, y = normal(2000, 2, seed=8), normal(2000, 2, seed=9)
    for value in (0.2, 0.8):
        found = ot.map_.distance(value, x, y + value * torch.tensor([1.0, 2.0]))
        assert abs(found.w2 - value * math.sqrt(5)) < 4 * found.w2_error + 0.1


def test_few_rows_are_all_measured_on() -> None:
    ot = measured(LAWS["a shift throughout"], 0, rows=(12, 15))
    found = ot.distance()
    assert not found.held_out
    assert math.isfinite(found.w2_error)


# ---- the score


@pytest.mark.parametrize("potential", ["free", "convex"])
@pytest.mark.parametrize("scale", ["common", "feature"])
def test_the_score_is_the_mean_of_the_dual_terms(potential: str, scale: str) -> None:
    c = torch.linspace(0, 1, 400, dtype=torch.float64)
    x, z = normal(400, 2), (1 + c[:, None]) * normal(400, 2, seed=1)
    ot = quick(potential, scale=scale, settings={"z_threshold": 0.0})
    ot.fit(x, z, source_covariates=c, target_covariates=c)
    given = {"source_covariates": c[:50], "target_covariates": c[:90]}
    phi, phi_c, _ = ot.map_.dual_terms(x[:50], z[:90], c[:50], c[:90])
    expected = ot.map_.coordinates.squared_unit() * float(phi.mean() + phi_c.mean())
    assert ot.score(x[:50], z[:90], **given) == pytest.approx(expected, rel=1e-12)
    assert ot.score(x[:50].numpy(), z[:90].numpy(), **given) == pytest.approx(expected)


@pytest.mark.parametrize("lent", ["source", "target"])
def test_after_a_fit_of_one_side_both_are_scored_at_values(lent: str) -> None:
    """The map has a condition either way: rows without covariates are given some, or one value for all."""
    ot = measured(LAWS["a shift in proportion"], 0, lent=lent)
    x, z = normal(100, 2), normal(120, 2, seed=1)
    for c, e in ((torch.linspace(0, 1, 100), torch.linspace(0, 1, 120)), (0.5, 0.5)):
        phi, phi_c, _ = ot.map_.dual_terms(x, z, c, e)
        expected = ot.map_.coordinates.squared_unit() * float(phi.mean() + phi_c.mean())
        found = ot.score(x, z, source_covariates=c, target_covariates=e)
        assert found == pytest.approx(expected, rel=1e-12)
    for given in ({}, {"source_covariates": 0.5}, {"target_covariates": 0.5}):
        with pytest.raises(DataError, match="the map was fitted with covariates; give"):
            ot.score(x, z, **given)


def test_the_score_at_one_value_is_half_the_squared_distance_there() -> None:
    ot = measured(LAWS["a shift in proportion"], 0, rows=(4000, 4000))
    x, y = normal(2000, 2, seed=8), normal(2000, 2, seed=9)
    z = y + 0.8 * torch.tensor([1.0, 2.0])
    found = ot.score(x, z, source_covariates=0.8, target_covariates=0.8)
    assert found == pytest.approx(ot.map_.distance(0.8, x, z).w2 ** 2 / 2, rel=1e-9)
    with pytest.raises(DataError, match="fitted without labels; give covariates"):
        ot.score(x, z, source_labels=["a"] * 2000)
