"""The squared distance between laws, told from exact plans between samples."""

import pytest
import torch

from benchmarks.plans import Costs, mean_costs, plan_costs
from brenier.datasets import separable_pair, translation_pair
from brenier.metrics import exact_w2

pytestmark = pytest.mark.slow  # fits of seconds


def test_costs_are_those_of_exact_plans(generator: torch.Generator) -> None:
    x, z = (
        torch.randn(60, 3, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    costs = plan_costs(x, z + 1, generator)
    assert costs.full == pytest.approx(exact_w2(x, z + 1) ** 2)
    assert costs.half == pytest.approx(
        (exact_w2(x[::2], z[::2] + 1) ** 2 + exact_w2(x[1::2], z[1::2] + 1) ** 2) / 2
    )
    within = exact_w2(x[::2], x[1::2]) ** 2 + exact_w2(z[::2], z[1::2]) ** 2
    assert costs.debiased == pytest.approx(costs.half - within / 2)


def test_the_correction_takes_away_in_proportion_to_what_halving_adds() -> None:
    known = Costs(
        full=12.0,
        half=12.4,
        debiased=0.0,
        gaussian_full=7.0,
        gaussian_half=7.5,
        gaussian=6.0,
    )
    assert known.corrected == pytest.approx(12 - 0.4 * 2)
    assert mean_costs([known, known._replace(full=11.0)]).full == pytest.approx(11.5)


@pytest.mark.parametrize("dim", [4, 12])
def test_the_correction_finds_the_distance_where_the_plan_does_not(
    generator: torch.Generator, dim: int
) -> None:
    pairs = separable_pair(dim), translation_pair(dim)
    for pair in pairs:
        x = pair.source(100_000, generator)
        truth = float((pair.forward(x) - x).double().square().sum(-1).mean())
        costs = [
            plan_costs(
                pair.source(300, generator), pair.target(300, generator), generator
            )
            for _ in range(8)
        ]
        found = mean_costs(costs)
        bias = abs(found.full - truth)
        assert abs(found.corrected - truth) < 0.4 * bias
