"""Costs against closed forms, finite differences and each other."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier import (
    DataError,
    Elastic,
    LogCosh,
    Mahalanobis,
    Power,
    SeparablePower,
    SquaredEuclidean,
)
from brenier.transport.costs import (
    Cost,
    CostFacts,
    KnownCost,
    ScaledCost,
    check_cost,
    conjugate_value,
    cost_from_json,
    cost_named,
    cost_to_json,
)

MATRIX = [[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]]
COSTS = {
    "squared": SquaredEuclidean(),
    "mahalanobis": Mahalanobis(MATRIX),
    "power 1.2": Power(1.2),
    "power 1.5": Power(1.5),
    "power 3": Power(3),
    "separable 1.5": SeparablePower(1.5),
    "separable 4": SeparablePower(4),
    "elastic": Elastic(0.3),
    "log-cosh": LogCosh(),
    "log-cosh of scale 2": LogCosh(2.0),
    "scaled power": ScaledCost(Power(1.5), 3.0, 2.0),
    "scaled elastic": ScaledCost(Elastic(0.3), 0.2, 0.04),
    "scaled log-cosh": ScaledCost(LogCosh(), 4.0, 3.0),
}


@dataclasses.dataclass(frozen=True)
class Own:
    """Another cost in a user's hands: it hides the facts and the type of the one inside."""

    cost: Cost
    gradient_factor: float = 1.0
    conjugate_factor: float = 1.0

    def value(self, v: Tensor) -> Tensor:
        return self.cost.value(v)

    def gradient(self, v: Tensor) -> Tensor:
        return self.gradient_factor * self.cost.gradient(v)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        return self.conjugate_factor * self.cost.conjugate_gradient(s)


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_the_parts_of_every_cost_agree(cost: KnownCost) -> None:
    assert check_cost(Own(cost), 3)
    v = normal(50, 3).requires_grad_()
    (slope,) = torch.autograd.grad(cost.value(v).sum(), v)
    torch.testing.assert_close(cost.gradient(v), slope)
    torch.testing.assert_close(cost.conjugate_gradient(slope), v.detach())
    # Fenchel and Young: h(v) + h*(s) >= <s, v>, with equality at s = grad h(v).
    s = cost.gradient(normal(50, 3, seed=1))
    gap = (cost.value(v) + conjugate_value(cost, s) - (s * v).sum(-1)).detach()
    assert float(gap.min()) > -1e-12
    same = cost.value(v) + conjugate_value(cost, slope) - (slope * v).sum(-1)
    torch.testing.assert_close(same, torch.zeros_like(same))


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_zero_moves_cost_nothing_and_nothing_is_nan_there(cost: KnownCost) -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert not cost.value(zero).any()
    assert not cost.gradient(zero).any()
    moved = cost.conjugate_gradient(zero)
    assert not moved.any()
    (slope,) = torch.autograd.grad(moved.sum(), zero)
    assert slope.isfinite().all()


def test_costs_have_their_closed_forms() -> None:
    v = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    assert float(Power(3).value(v)) == pytest.approx(125 / 3)
    assert float(SeparablePower(3).value(v)) == pytest.approx((27 + 64) / 3)
    assert float(Elastic(0.5).value(v)) == pytest.approx(12.5 + 3.5)
    expected = math.log(math.cosh(3)) + math.log(math.cosh(4))
    assert float(LogCosh().value(v)) == pytest.approx(expected)
    assert Elastic(0.5).conjugate_gradient(v / 8).tolist() == [[0.0, 0.0]]
    matrix = np.array(MATRIX)
    w = normal(4, 3).numpy()
    expected = np.einsum("ni,ij,nj->n", w, matrix, w) / 2
    np.testing.assert_allclose(Mahalanobis(matrix).value(torch.from_numpy(w)), expected)


def test_long_moves_overflow_nothing() -> None:
    far = torch.tensor([[800.0, -1e4]])
    assert LogCosh().value(far).isfinite().all()
    assert LogCosh().conjugate_gradient(torch.tensor([[1.0, -2.0]])).isfinite().all()


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_scaled_costs_are_those_of_scaled_moves(cost: KnownCost) -> None:
    v = normal(20, 3) / 4
    scaled = ScaledCost(cost, 2.5, ScaledCost.level_of(cost, 2.5, v))
    torch.testing.assert_close(scaled.level * scaled.value(v), cost.value(2.5 * v))
    torch.testing.assert_close(scaled.conjugate_gradient(scaled.gradient(v)), v)


def test_levels_leave_quadratic_parts_as_they_are() -> None:
    v = normal(20, 3)
    level = ScaledCost.level_of(SquaredEuclidean(), 7.0, v)
    squared = ScaledCost(SquaredEuclidean(), 7.0, level)
    torch.testing.assert_close(squared.value(v), SquaredEuclidean().value(v))
    level = ScaledCost.level_of(Elastic(0.7), 7.0, v)
    elastic = ScaledCost(Elastic(0.7), 7.0, level)
    assert elastic.kink == pytest.approx(0.1)
    torch.testing.assert_close(elastic.value(v), Elastic(0.1).value(v))


def test_costs_say_what_a_fit_wants_to_know() -> None:
    assert CostFacts.of(Power(3)) == CostFacts(3.0, 0.0, False, True, True, math.inf)
    assert CostFacts.of(Power(1.5)).dominates_square is False
    assert CostFacts.of(LogCosh(2.0)).largest_slope == 2.0
    assert CostFacts.of(Own(Elastic(0.3))) == CostFacts(
        None, 0.0, False, False, False, math.inf
    )


@pytest.mark.parametrize(
    ("cost", "named"),
    [
        (Own(Power(1.5), gradient_factor=1.1), "gradient disagrees with finite"),
        (Own(Power(1.5), conjugate_factor=0.9), "conjugate_gradient disagrees"),
        (Power, "must have methods"),
        ("nonsense", "must have methods"),
        (Mahalanobis([[1.0]]), "for 1 features"),
    ],
)
def test_costs_whose_parts_disagree_are_refused(cost: object, named: str) -> None:
    with pytest.raises(DataError, match=named):
        check_cost(cost, 3)


def test_costs_that_fail_are_refused_by_name() -> None:
    class Wrong(Own):
        def value(self, v: Tensor) -> Tensor:
            raise RuntimeError("not today")

    class Short(Own):
        def conjugate_gradient(self, s: Tensor) -> Tensor:
            return s[:, :1]

    class Concave(Own):
        def value(self, v: Tensor) -> Tensor:
            return -v.square().sum(-1) / 2

        def gradient(self, v: Tensor) -> Tensor:
            return -v

        def conjugate_gradient(self, s: Tensor) -> Tensor:
            return -s

    for kind, fault in (
        (Wrong, "value fails .* not today"),
        (Short, r"conjugate_gradient must return a tensor of \(32, 3\)"),
        (Concave, "value is not convex"),
    ):
        with pytest.raises(DataError, match=fault):
            check_cost(kind(SquaredEuclidean()), 3)


@pytest.mark.parametrize("p", [1.0, 0.5, math.nan, math.inf, "2", True, None])
def test_powers_must_be_above_one(p: object) -> None:
    for kind in (Power, SeparablePower):
        with pytest.raises(DataError, match=r"^p: must be a finite number above 1"):
            kind(p)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, -1.0, math.nan])
def test_sparsity_and_scale_must_be_above_zero(number: float) -> None:
    with pytest.raises(DataError, match=r"^sparsity: must be"):
        Elastic(number)
    with pytest.raises(DataError, match=r"^scale: must be"):
        LogCosh(number)


@pytest.mark.parametrize(
    ("matrix", "fault"),
    [
        ([[1.0, 2.0]], "must be .d, d."),
        ([[1.0, 0.5], [0.0, 1.0]], "must be symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], "positive definite"),
        ([[1.0, math.nan], [math.nan, 1.0]], "not finite"),
        ("text", "array of numbers"),
    ],
)
def test_matrices_of_no_metric_are_refused(matrix: object, fault: str) -> None:
    with pytest.raises(DataError, match=f"^matrix: .*{fault}"):
        Mahalanobis(matrix)  # type: ignore[arg-type]


def test_costs_are_saved_by_name() -> None:
    known = [each for each in COSTS.values() if not isinstance(each, ScaledCost)]
    for cost in known:
        assert cost_from_json(cost_to_json(cost)) == cost
    with pytest.raises(DataError, match="a cost of your own"):
        cost_to_json(Own(Power(1.5)))


def test_unknown_names_and_arguments_are_refused() -> None:
    with pytest.raises(DataError, match="'manhattan' is not known; choose one of"):
        cost_named("manhattan")
    with pytest.raises(DataError, match=r"^p: cost 'power' needs it"):
        cost_named("power")
    with pytest.raises(DataError, match=r"^p: cost 'elastic' takes sparsity"):
        cost_named("elastic", p=2.0, sparsity=1.0)
    assert cost_named("log_cosh") == LogCosh()
