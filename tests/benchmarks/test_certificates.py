"""Pairs of the benchmark of certificates have the maps and distances they say; factors are fixed on other pairs."""

import os
from pathlib import Path

import pytest
import torch

from benchmarks.certificates import bounds, cases, factor, figure, kappa, study
from benchmarks.certificates.calibration import FactorTable
from benchmarks.certificates.cases import Case
from benchmarks.harness import Row, rows
from brenier import Potential, Quadratic, TransportMap
from brenier.datasets import scaling_pair
from brenier.metrics import exact_w2

OWN = ("curve", "islands", "mild", "radial", "gaussian", "tails", "logsumexp")
KINDS = [
    pytest.param(
        kind,
        8 if kind == "manifold" else 2,
        marks=pytest.mark.skipif(
            kind == "w2hd" and "BRENIER_DATA" not in os.environ,
            reason="the benchmark's files are not part of the repository",
        ),
    )
    for kind in cases.KINDS
]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("kind", "dim"), KINDS)
def test_every_map_is_the_gradient_of_a_convex_function(
    kind: str, dim: int, generator: torch.Generator
) -> None:
    pair = cases.pair_of(kind, dim)
    x = pair.source(20, generator).double()
    for row in x:
        slope = torch.autograd.functional.jacobian(
            lambda y: pair.forward(y[None])[0], row
        )
        torch.testing.assert_close(slope, slope.mT, atol=1e-8, rtol=1e-6)
        assert float(torch.linalg.eigvalsh(slope).min()) > 0


@pytest.mark.parametrize(("kind", "dim"), KINDS)
def test_every_map_can_be_inverted(
    kind: str, dim: int, generator: torch.Generator
) -> None:
    pair = cases.pair_of(kind, dim)
    x = pair.source(50, generator).double()
    z = pair.forward(x)
    if pair.backward is not None:
        torch.testing.assert_close(pair.backward(z), x, atol=1e-6, rtol=1e-6)
        return
    start = x + 0.01 * torch.randn(x.shape, generator=generator).double()
    for row, image, y in zip(x, z, start, strict=True):  # Newton's method
        for _ in range(50):
            slope = torch.autograd.functional.jacobian(
                lambda y: pair.forward(y[None])[0], y
            )
            y = y - torch.linalg.solve(slope, pair.forward(y[None])[0] - image)
        torch.testing.assert_close(y, row, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("kind", "dim"), KINDS)
def test_every_map_is_the_exact_plan_of_its_rows(
    kind: str, dim: int, generator: torch.Generator
) -> None:
    pytest.importorskip("ot")
    pair = cases.pair_of(kind, dim)
    x = pair.source(300, generator).double()
    z = pair.forward(x)
    moved = float((x - z).square().sum(-1).mean()) ** 0.5
    assert exact_w2(x, z) == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("kind", OWN)
def test_the_distance_is_that_of_large_samples(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ot")
    monkeypatch.setattr(cases, "DISPLACED", 2**17)
    cases.squared_distance.cache_clear()
    found = cases.squared_distance(kind, 2)
    cases.squared_distance.cache_clear()
    x, y = Case(kind, 2, 2000).samples(0)
    exact = exact_w2(x.double(), y.double()) ** 2
    # Of samples it is a little higher, by up to .06 in the plane, and errs by their noise on both sides.
    noise = float((cases.pair_of(kind, 2).forward(x) - x).square().sum(-1).std())
    assert found.value == pytest.approx(exact, abs=0.06 + 4 * noise * (2 / 2000) ** 0.5)
    assert found.error < 0.01 * found.value


def test_tails_have_the_distance_that_many_rows_show(
    generator: torch.Generator,
) -> None:
    pair = cases.pair_of("tails", 8)
    x = pair.source(200_000, generator).double()
    shown = float((pair.forward(x) - x).square().sum(-1).mean())
    assert cases.squared_distance("tails", 8).value == pytest.approx(shown, rel=0.02)


def test_rows_of_both_sides_are_independent_and_follow_from_the_seed() -> None:
    case = Case("curve", 2, 50)
    x, y = case.samples(3)
    again, _ = case.samples(3)
    assert torch.equal(x, again)
    assert not torch.equal(case.pair.forward(x), y)
    assert len(case.samples(3, 7)[0]) == 7


def stretch(factor: float, dim: int = 2) -> TransportMap:
    """The map x -> factor x."""
    return TransportMap(Quadratic(dim, factor * torch.eye(dim).double()))


def test_the_gap_and_the_errors_of_a_map_that_is_too_short() -> None:
    pair = scaling_pair(2)  # z = 2 x, W2^2 = d
    found = cases.true_gap(stretch(1.5), pair, 4000, 0)
    # phi = -|x|^2/4 and phi^c = |z|^2/6 make D = 5 d/12.
    assert found.value == pytest.approx(2 / 6, abs=4 * found.error)
    assert found.error < 0.02
    assert abs(cases.true_gap(stretch(2.0), pair, 1000, 0).value) < 1e-5
    errors = cases.map_errors(stretch(1.5), pair, 4000, 0)
    assert errors.forward == pytest.approx(0.5 * 2**0.5, rel=0.05)
    assert errors.inverse == pytest.approx((2 / 1.5 - 1) * 2**0.5, rel=0.05)


class TwoWells(Potential):
    """A well at 0 and a deeper one near 5, which a search from 0 misses."""

    dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.depth = torch.nn.Parameter(torch.tensor(20.0).double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        far = -self.depth * torch.exp(-2 * (x - 5).square()).sum(-1)
        return far - 2 * torch.exp(-2 * x.square()).sum(-1)


def test_a_search_from_many_starts_finds_what_was_missed() -> None:
    transport = TransportMap(TwoWells(), start_rows=torch.zeros(1, 1), tol=1e-8)
    x = torch.full((4, 1), 4.8)
    missed = bounds.missed_depth(transport, x, torch.zeros(5, 1))
    # F is -2 at 0, and near 25/2 - 20 at 5.
    assert missed == pytest.approx(2 * (-2 + 7.5), rel=0.2)
    assert bounds.missed_depth(stretch(1.5, 1), x, torch.zeros(5, 1)) == 0


def row(pair: str, ratio: float, seed: int = 0, **numbers: object) -> Row:
    """A row whose raw estimates are so many times the errors."""
    known = {"kind": "twin", "kept_affine": False}
    for side in factor.SIDES:
        known |= {f"raw_{side}": 0.1 * ratio, f"true_{side}": 0.1, side: 0.2 * ratio}
        known |= {f"spread_{side}": 1.0}
    facts = {"date": "2026-12-01", "commit": None, "load": 0.0, "wall_seconds": 0.0}
    facts |= dict.fromkeys(
        ("processor", "cores", "threads", "memory_gib", "python", "torch", "numpy"), ""
    )
    return Row(
        *("certificates", f"{pair} d=2", "map error, 8 s", seed, "ok", "", []),
        {**known, **numbers},
        {"pair": pair, "dim": 2, "max_time": 8.0},
        {**facts, "brenier": ""},
    )


def test_a_factor_is_one_over_the_least_ratio_it_has_to_cover() -> None:
    assert factor.factor([0.5, 1.0, 2.0]) == 2
    many = [0.1, *([0.8] * 19)]
    assert factor.factor(many) == pytest.approx(10)
    assert factor.factor(many, 0.95) == pytest.approx(1 / 0.8)


def test_a_claim_is_judged_with_the_factor_of_other_pairs() -> None:
    some = [row("a", 0.5), row("a", 0.4, 1), row("b", 0.8), row("c", 1.0)]
    found = {
        (each.row.get("pair"), each.row.seed): each
        for each in factor.left_out(some, "forward")
    }
    assert found["a", 0].factor == pytest.approx(1 / 0.8)
    assert found["b", 0].factor == pytest.approx(1 / 0.4)
    assert found["a", 1].claimed == pytest.approx(0.5)
    verdict = factor.Verdict.of(list(found.values()))
    assert verdict.covered == 0.5
    assert verdict.within == 1
    assert verdict.squared_largest == pytest.approx((1.0 / 0.4) ** 2)
    printed = factor.as_printed(some, "forward")
    assert {each.factor for each in printed} == {2.0}


def test_no_claim_is_judged_without_other_pairs() -> None:
    assert factor.left_out([row("a", 0.5), row("a", 1.0, 1)], "inverse") == []
    assert (
        factor.left_out([row("a", 0.5), row("b", 1, raw_inverse=None)], "inverse") == []
    )


def test_the_table_of_factors_says_where_they_are_from() -> None:
    table = FactorTable("t", "certificates", (), where=kappa.is_kappa, by_pair=True)
    drawn = table.draw([row("a", 0.5), row("b", 0.8), row("c", 1.0, kind="matching")])
    assert "| twin | forward | all but a | 1 | 1.25 | 0.0 % |" in drawn
    assert "`forward` 2.000 (from a d=2, map error, 8 s, seed 0;" in drawn
    assert "`matching_forward` 1.000" in drawn
    assert table.draw([]).startswith("No rows yet")


def test_the_figure_is_drawn_where_claims_can_be_judged(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "certificates.jsonl"
    rows.append(path, row("a", 0.5))
    figure.draw_claims(tmp_path)
    assert not (tmp_path / figure.NAME).exists()
    rows.append(path, row("b", 0.8))
    figure.draw_claims(tmp_path)
    assert (tmp_path / figure.NAME).stat().st_size > 1000


def test_parts_share_all_problems_and_no_problem_twice() -> None:
    def names(*part: str) -> list[str]:
        arguments = ["--tables", "kappa", "bounds", *part]
        flags = study.ARGUMENTS.parse("", arguments)
        return [f"{each.value.table} {each.name}" for each in study.problems(flags)]

    both = names("--part", "0", "2") + names("--part", "1", "2")
    assert sorted(both) == sorted(names())
    assert len(set(both)) == len(both)


def test_there_are_as_many_cases_as_are_claimed() -> None:
    flags = study.ARGUMENTS.parse("", ["--tables", "kappa"])
    chosen = list(kappa.problems(flags))
    assert len(chosen) == 2 * 24
    assert {choice.value.dim for choice in chosen} == {2, 8, 16, 64}
    assert len(bounds.CASES) >= 12
