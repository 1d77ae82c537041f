"""Bounds of the distance and of the gap, where both are known in closed form."""

import math
from collections.abc import Iterator

import ot
import pytest
import torch
from problems import normal, positive_definite
from torch import Tensor

from brenier import Elastic, NewtonCG, Power, Quadratic, SquaredEuclidean, TransportMap
from brenier.statistics import Gaussian, Weighted
from brenier.statistics.gaussian import gaussian_map
from brenier.transport.coordinates import plain_coordinates
from brenier.transport.maps import (
    Certificate,
    Figures,
    certificate_of,
    excess_of,
    figures_of,
    pooled_figures,
)
from brenier.transport.maps.certificates.figures import Estimate
from brenier.transport.maps.certificates.matching import (
    MatchedRows,
    costs_between,
    matching,
)
from brenier.transport.maps.ground import Ground

SOURCE = Gaussian(normal(2), positive_definite(2, condition=5.0, largest=2.0))
TARGET = Gaussian(2 + normal(2, seed=1), positive_definite(2, condition=8.0, seed=2))
TRUE = gaussian_map(SOURCE, TARGET)
SQUARED = float(
    ot.gaussian.bures_wasserstein_distance(SOURCE[0], TARGET[0], SOURCE[1], TARGET[1])
    ** 2
)
WRONG = 1.3 * TRUE
SEEDS = range(40)


def quadratic_map(matrix: Tensor) -> TransportMap:
    """The map x -> M (x - m0) + m1, right where M is that of the pair."""
    shift = TARGET.mean - matrix @ SOURCE.mean
    return TransportMap(Quadratic(2, matrix, shift), method=NewtonCG(), tol=1e-9)


def drawn(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Independent rows of either side."""
    sides = ((SOURCE, seed), (TARGET, seed + 1000))
    x, z = (
        g.mean + normal(n, 2, seed=s) @ torch.linalg.cholesky(g.covariance).mT
        for g, s in sides
    )
    return x, z


def measured(
    transport: TransportMap, n: int, seed: int
) -> tuple[Figures, Weighted, Weighted]:
    """The figures of new rows."""
    x, z = map(Weighted, drawn(n, seed))
    distance = transport.measure(x.rows, z.rows, held_out=True)
    generator = torch.Generator().manual_seed(seed)
    figures = figures_of(transport, distance, x, z, generator, same_rows=True)
    return figures, x, z


def true_gap(matrix: Tensor) -> float:
    """W2^2 less twice the dual value of the map, whose means are right: E <d, M^-1 d> with d = (M - M*) (x - m0)."""
    error = matrix - TRUE
    return float((SOURCE.covariance @ error @ torch.linalg.inv(matrix) @ error).trace())


def certificates(matrix: Tensor, n: int = 300) -> Iterator[Certificate]:
    """Certificates of a map, each from rows of its own."""
    for seed in SEEDS:
        figures, _, _ = measured(quadratic_map(matrix), n, seed)
        yield certificate_of(figures, 0.95)


@pytest.mark.parametrize("matrix", [TRUE, WRONG], ids=["optimal", "stretched"])
def test_the_bounds_cover(matrix: Tensor) -> None:
    found = list(certificates(matrix))
    below = sum((each.lower or 0.0) <= math.sqrt(SQUARED) for each in found)
    above = sum((each.upper or 0.0) >= math.sqrt(SQUARED) for each in found)
    gaps = sum((each.gap or math.inf) >= true_gap(matrix) for each in found)
    # Of 40 draws at 95 % fewer than 34 are covered once in a thousand times.
    assert min(below, above, gaps) >= 34


def test_the_bounds_are_near() -> None:
    found = list(certificates(TRUE))
    widest = max((each.upper or 9.0) - (each.lower or 0.0) for each in found)
    assert widest < 0.5 * math.sqrt(SQUARED)


def test_the_closed_form_of_the_gap_is_that_of_the_dual_terms() -> None:
    transport = quadratic_map(WRONG)
    x, _ = drawn(20_000, 5)
    z = (x - SOURCE.mean) @ TRUE.mT + TARGET.mean
    phi, phi_c, _ = transport.dual_terms(x, z)
    slack = 2 * ((x - z).square().sum(-1) / 2 - phi - phi_c)
    assert abs(float(slack.mean()) - true_gap(WRONG)) < 4 * float(slack.std()) / 141


def test_more_confidence_is_wider() -> None:
    figures, _, _ = measured(quadratic_map(TRUE), 300, 0)
    wide, narrow = (certificate_of(figures, p) for p in (0.99, 0.8))
    assert wide.lower is not None
    assert wide.upper is not None
    assert narrow.lower is not None
    assert narrow.upper is not None
    assert wide.lower < narrow.lower < narrow.upper < wide.upper


def test_a_matching_is_that_of_an_independent_library() -> None:
    transport = quadratic_map(WRONG)
    x, z = drawn(90, 1)
    terms = MatchedRows.of(transport, x, z)
    found = matching(terms, transport, 80)

    def expected(part: slice) -> float:
        costs = ot.dist(x[part].numpy(), z[part].numpy()) / 2
        own = float(terms.phi[part].mean() + terms.phi_c[part].mean())
        return float(ot.emd2([], [], costs)) - own

    assert found.mean == pytest.approx(expected(slice(0, 80)), abs=1e-9)
    parts = [expected(slice(k, k + 10)) for k in range(0, 80, 10)]
    assert found.parts.tolist() == pytest.approx(parts, abs=1e-9)


@pytest.mark.parametrize(
    "cost", [SquaredEuclidean(), Power(1.5), Elastic(0.2)], ids=lambda cost: str(cost)
)
def test_costs_between_rows_are_those_of_the_cost(
    cost: SquaredEuclidean | Power | Elastic,
) -> None:
    x, z = drawn(7, 2)
    coordinates = plain_coordinates(x, z, torch.full((2,), 3.0, dtype=torch.float64))
    transport = TransportMap(
        Quadratic(2).double(), coordinates, ground=Ground(cost, level=0.7)
    )
    found = costs_between(transport, x, z)
    expected = torch.stack([cost(x / 3, row.expand_as(x) / 3) for row in z])
    assert torch.allclose(found, expected, rtol=1e-6)


def test_a_right_map_has_no_excess_and_a_wrong_one_its_gap() -> None:
    for matrix in (TRUE, WRONG):
        transport, excess = quadratic_map(matrix), []
        for seed in range(8):
            figures, x, z = measured(transport, 600, seed)
            generator = torch.Generator().manual_seed(seed)
            found = excess_of(transport, figures, x, z, generator, affine=True)
            assert found is not None
            excess.append(found.gap)
            eigenvalue = float(torch.linalg.eigvalsh(matrix).mean())
            assert found.stretch == pytest.approx(eigenvalue, rel=0.1)
        mean = sum(excess) / len(excess)
        assert mean == pytest.approx(true_gap(matrix), abs=0.03 * SQUARED)


def test_few_rows_say_nothing() -> None:
    figures, _, _ = measured(quadratic_map(TRUE), 15, 0)
    found = certificate_of(figures, 0.95)
    assert (found.lower, found.upper, found.gap) == (None, None, None)
    assert "fewer than 20 rows" in found.statement()
    assert found.verdict() == "Nothing can be said of W2 here."


def test_rows_that_were_trained_on_bound_from_above_alone() -> None:
    transport = quadratic_map(TRUE)
    x, z = map(Weighted, drawn(300, 0))
    distance = transport.measure(x.rows, z.rows, held_out=False)
    generator = torch.Generator().manual_seed(0)
    figures = figures_of(transport, distance, x, z, generator, same_rows=True)
    found = certificate_of(figures, 0.95)
    assert (found.lower, found.gap) == (None, None)
    assert found.upper is not None
    assert "at most" in found.verdict()


def test_weighted_rows_are_bounded_as_those_they_stand_for() -> None:
    transport = quadratic_map(TRUE)
    x, z = drawn(600, 3)
    weights = torch.rand(600, generator=torch.Generator().manual_seed(0)).double() + 0.2
    side = Weighted(x, weights)
    distance = transport.measure(x, z, held_out=True, weights=(weights, None))
    generator = torch.Generator().manual_seed(0)
    figures = figures_of(transport, distance, side, Weighted(z), generator, True)
    plain, _, _ = measured(transport, 600, 3)
    assert figures.above is not None
    assert plain.above is not None
    assert figures.above.error > plain.above.error
    found = certificate_of(figures, 0.95)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < math.sqrt(SQUARED) < found.upper


def test_parts_together_are_means_by_their_shares() -> None:
    first, _, _ = measured(quadratic_map(TRUE), 300, 0)
    second, _, _ = measured(quadratic_map(WRONG), 300, 1)
    both = pooled_figures([first, second], [0.25, 0.75])
    expected = 0.25 * first.dual.value + 0.75 * second.dual.value
    assert both.dual.value == pytest.approx(expected)
    variance = (0.25 * first.dual.error) ** 2 + (0.75 * second.dual.error) ** 2
    assert both.dual.error == pytest.approx(math.sqrt(variance))
    assert both.rows == (600, 600)


def test_an_interval_of_a_skewed_mean_covers_better_from_above() -> None:
    # Means of 60 squares of Student's t variables with 9 degrees of freedom, whose mean is 9/7.
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 60, 10, generator=generator, dtype=torch.float64)
    terms = rows[..., 0].square() / rows[..., 1:].square().mean(-1)
    error = terms.std(-1) / 60**0.5
    cubes = (terms - terms.mean(-1, keepdim=True)).pow(3).mean(-1) / 60**2
    found = [
        Estimate(float(m), float(e), float(c / e**3))
        for m, e, c in zip(terms.mean(-1), error, cubes, strict=True)
    ]
    plain = sum(each.value + 1.645 * each.error >= 9 / 7 for each in found) / 4000
    skewed = sum(each.at_most(1.645) >= 9 / 7 for each in found) / 4000
    assert plain < 0.9
    assert skewed > plain + 0.02


def test_the_skewness_of_means_together_is_that_of_their_law() -> None:
    parts = [Estimate(1.0, 0.5, 0.8), Estimate(2.0, 0.2, -0.4)]
    both = Estimate.pooled(parts, [0.5, 0.5])
    expected = (0.8 * 0.25**3 - 0.4 * 0.1**3) / both.error**3
    assert both.skewness == pytest.approx(expected)
    assert both.at_most(2.0) > both.value + 2 * both.error
