"""Potentials of points that carry a condition."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from contracts import POTENTIAL_LAWS
from problems import conditioned, make, normal

from brenier import DataError
from brenier.potentials import Conditional, DenseICNN
from brenier.transport.coordinates.by_class import class_embeddings
from brenier.transport.dual.conjugate import conjugate
from brenier.transport.dual.convexity import convexity_penalty
from brenier.transport.dual.starts import best_initial_points

# A potential of one condition is rebuilt with the conditional potential it belongs to.
NEEDS_CONFIG = ("config_rebuilds_it", "precision_follows_the_input")


def points(n: int, seed: int = 0) -> torch.Tensor:
    """Points of the plane, each with the code of one of three classes."""
    keys = torch.arange(n) % 3
    return torch.cat(
        [normal(n, 2, seed=seed), class_embeddings(3)[keys].to(normal(1, 2))], -1
    )


def conditional(**settings: Any) -> Conditional:
    """A potential of such points, far from an affine one."""
    return Conditional(make(DenseICNN, 5, size=0.4, hidden=(8, 8, 4), **settings), 2)


# ---- the potential


def test_at_one_condition_it_is_an_ordinary_potential() -> None:
    whole, s, v = conditional(), points(30), normal(30, 5, seed=1)
    at_first = whole.condition_on(class_embeddings(3)[0].to(s))
    value, gradient = whole.value_and_gradient(s)
    own, own_gradient = at_first.value_and_gradient(s[::3, :2])
    torch.testing.assert_close(own, value[::3])
    torch.testing.assert_close(own_gradient, gradient[::3, :2])
    torch.testing.assert_close(
        at_first.hessian_product(s[::3, :2], v[::3, :2]),
        whole.hessian_product(s, v)[::3, :2],
    )
    assert (gradient[:, 2:] == 0).all()
    assert (whole.hessian_product(s, v)[:, 2:] == 0).all()


@pytest.mark.parametrize(
    "law",
    [law for law in POTENTIAL_LAWS if law.__name__ not in NEEDS_CONFIG],
    ids=lambda law: law.__name__,
)
@pytest.mark.parametrize("convex", [False, True])
def test_it_obeys_the_laws_of_potentials(
    law: Callable[..., None], convex: bool
) -> None:
    law(conditioned(convex=convex).double(), normal(6, 3).double())


def test_an_inner_solve_keeps_the_condition() -> None:
    whole, s = conditional(convex=True), points(60)
    found = conjugate(whole, s, tol=1e-5)
    assert found.solution.unconverged == 0
    assert torch.equal(found.point[:, 2:], s[:, 2:])
    alone = conjugate(whole.condition_on(s[1, 2:]), s[1::3, :2], tol=1e-5)
    torch.testing.assert_close(found.value[1::3], alone.value, atol=1e-5, rtol=1e-5)


def test_starts_are_of_the_same_class() -> None:
    whole, z, x = conditional(), points(60), points(90, seed=3)
    start = best_initial_points(whole, z, x, whole(x)).rows()
    assert torch.equal(start[:, 2:], z[:, 2:])
    for k in range(3):
        one, mine, theirs = whole.condition_on(z[k, 2:]), z[k::3, :2], x[k::3, :2]
        torch.testing.assert_close(
            start[k::3, :2], best_initial_points(one, mine, theirs, one(theirs)).rows()
        )


def test_segments_have_one_condition(generator: torch.Generator) -> None:
    """Within a class psi is convex; across classes it is not."""
    bump = Conditional(_Steps(), 2)
    s = points(300)
    assert convexity_penalty(bump, s, bump(s), generator).item() < 1e-7
    assert convexity_penalty(_Steps(), s, bump(s), generator).item() > 0.01


class _Steps(DenseICNN):
    """Half a square, and a step for the first class."""

    def __init__(self) -> None:
        super().__init__(5, (4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * torch.tanh(3 * x[:, 2]) + 0 * self.bias.sum()


def test_transport_leaves_some_coordinates_to_the_condition() -> None:
    with pytest.raises(DataError, match="transport_dim: must be between 1 and 4"):
        Conditional(DenseICNN(5), 5)
