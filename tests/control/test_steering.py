"""The steering angle of bicycles against the roots and minima that scipy finds."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar

from brenier.control.problems import Bicycle
from brenier.control.problems.steering import BicycleHamiltonian, nearest_steering

BOUND = math.pi / 2 - 0.25
FOLD = 0.6532711870944031
LARGEST_Q = FOLD * math.cos(FOLD) ** 2


def of(q, largest=BOUND, dtype=torch.float64):
    """The Hamiltonians of one bicycle for these q, with p_v = 0.5."""
    q = torch.as_tensor(q, dtype=dtype)
    return BicycleHamiltonian(torch.stack([q, torch.full_like(q, 0.5)], -1), largest)


def test_the_stationary_point_is_that_of_a_scalar_search() -> None:
    q = np.concatenate([np.linspace(-0.4119, 0.4119, 41), [1e-12, -1e-5]])
    found = of(q).exact()
    roots = [
        brentq(lambda s, one=one: s * math.cos(s) ** 2 - one, 0, FOLD, xtol=1e-14)
        for one in abs(q)
    ]
    wanted = -np.copysign(roots, q)
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-8, atol=1e-13)
    assert found[:, 1].eq(-0.5).all()
    assert of(q).gradient(found)[:, 0].abs().max() < 1e-12


def test_beyond_the_fold_steering_is_hardest() -> None:
    q = torch.tensor([-3.0, -0.42, 0.412, 3.0], dtype=torch.float64)
    torch.testing.assert_close(of(q).exact()[:, 0], -q.sign() * BOUND)


def test_a_descent_from_zero_ends_there() -> None:
    q = torch.linspace(-1, 1, 20, dtype=torch.float64)
    problem = of(q)
    u = torch.zeros(20, 2, dtype=torch.float64)
    for _ in range(4000):
        u = problem.bounds.clip(u - 0.01 * problem.gradient(u))
    torch.testing.assert_close(u, problem.exact(), atol=1e-5, rtol=0)


def test_the_global_minimiser_is_the_lowest_of_a_search() -> None:
    q = np.linspace(-3, 3, 61)
    found = of(q).global_minimiser()[:, 0].numpy()
    for one, delta in zip(q, found, strict=True):

        def value(s, one=one):
            return s**2 / 2 + one * math.tan(s)

        searched = [
            minimize_scalar(value, bounds=part, method="bounded").fun
            for part in ((-BOUND, -FOLD), (-FOLD, FOLD), (FOLD, BOUND))
        ]
        assert value(delta) <= min(searched) + 1e-9
        assert abs(delta) <= BOUND


@pytest.mark.parametrize("largest", [0.3, 0.6532])
def test_with_a_small_bound_steering_is_continuous_and_global(largest) -> None:
    q = torch.linspace(-0.6, 0.6, 4001, dtype=torch.float64)
    problem = of(q, largest)
    found = problem.exact()
    assert found[:, 0].abs().max() == largest
    assert found[:, 0].diff().abs().max() < 0.02
    torch.testing.assert_close(problem.global_minimiser(), found)


def test_single_precision_follows_double() -> None:
    q = torch.linspace(-0.4, 0.4, 33, dtype=torch.float64)
    single = nearest_steering(q.float(), BOUND)
    torch.testing.assert_close(
        single.double(), nearest_steering(q, BOUND), atol=1e-5, rtol=0
    )


def test_no_number_stays_no_number() -> None:
    assert nearest_steering(torch.tensor([math.nan, 0.0]), BOUND).isnan().tolist() == [
        True,
        False,
    ]


def test_rows_and_bounds() -> None:
    problem = Bicycle(agents=2)
    z = problem.initial_states(3, torch.Generator().manual_seed(0))
    h = problem.hamiltonian(torch.zeros(3), z, z)
    torch.testing.assert_close(h.rows(torch.tensor([2])).pulled, h.pulled[2:])
    wanted = [BOUND, math.inf, BOUND, math.inf]
    assert h.bounds.upper.tolist() == wanted
    assert problem.bounds(torch.zeros(3), z).lower.tolist() == [-one for one in wanted]
