"""Every potential: its derivatives, its start, its convexity, and that psi is coercive whatever the parameters."""

from collections.abc import Callable

import pytest
import torch
from contracts import (
    POTENTIAL_LAWS,
    gradient_is_that_of_autograd,
    hessian,
    is_coercive,
    is_midpoint_convex,
    psi,
    value_can_be_trained,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    CONVEX_POTENTIALS,
    FREE_POTENTIALS,
    POTENTIALS,
    gentle,
    make,
    normal,
    positive_definite,
)
from torch import Tensor

from brenier import DenseICNN, Potential, Quadratic, ResidualPotential, conjugate
from brenier.errors import DataError
from brenier.potentials import KNOWN, EntropicPotential, MaxAffine
from brenier.potentials.activations import SQUARE
from brenier.potentials.icnn import nonnegative

New = Callable[..., Potential]
# Those that a fit can start at the identity, or at an affine map.
OF_PLANS = EntropicPotential, MaxAffine
STARTED = {name: cls for name, cls in KNOWN.items() if cls not in OF_PLANS}
EVERY = pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
CONVEX = pytest.mark.parametrize(
    "new", CONVEX_POTENTIALS.values(), ids=CONVEX_POTENTIALS
)
FREE = pytest.mark.parametrize("new", FREE_POTENTIALS.values(), ids=FREE_POTENTIALS)


@EVERY
@pytest.mark.parametrize("law", POTENTIAL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("dim", [1, 3])
def test_every_potential_obeys(
    law: Callable[[Potential, Tensor], None], new: New, dim: int
) -> None:
    law(new(dim), normal(7, dim, seed=9))


@EVERY
@pytest.mark.slow
@pytest.mark.parametrize("law", POTENTIAL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_every_potential_obeys_whatever_the_seed(
    law: Callable[[Potential, Tensor], None], new: New, seed: int
) -> None:
    law(new(4, seed=seed, size=0.3), normal(20, 4, seed=seed + 50))


# ---- a new potential is the map it was started at


def started(cls: type[Potential], matrix: Tensor, shift: Tensor) -> list[Potential]:
    """The potentials of a class in all its kinds, started at an affine map."""
    if cls is Quadratic:
        return [Quadratic(len(shift), matrix, shift)]
    kinds = [{"activation": name} for name in ("celu", "softplus", "tanh")]
    generator = torch.Generator().manual_seed(0)
    return [
        cls(len(shift), matrix=matrix, shift=shift, generator=generator, **kind)
        for kind in kinds
    ]


@pytest.mark.parametrize("cls", STARTED.values(), ids=STARTED)
def test_a_new_potential_is_its_affine_start(cls: type[Potential]) -> None:
    matrix, shift, x = (
        positive_definite(3, condition=20.0, largest=5.0),
        normal(3),
        normal(10, 3, seed=1),
    )
    for potential in started(cls, matrix, shift):
        moved = x + potential.gradient(x)
        torch.testing.assert_close(moved, x @ matrix + shift, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cls", STARTED.values(), ids=STARTED)
def test_a_new_potential_is_the_identity_unless_told_otherwise(
    cls: type[Potential],
) -> None:
    potential, x = cls(3), normal(10, 3, dtype=torch.float32)
    torch.testing.assert_close(
        potential.gradient(x), torch.zeros(10, 3), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(potential(x), torch.zeros(10), rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ["celu", "softplus"])
@pytest.mark.parametrize(("dim", "bound"), [(1, 0.8), (2, 0.4), (8, 0.12), (32, 0.04)])
def test_a_new_convex_potential_is_near_its_start(
    dim: int, bound: float, activation: str
) -> None:
    """Its readout is positive, not zero: the distance moved is a share of the distance from the centre."""
    generator = torch.Generator().manual_seed(0)
    potential = DenseICNN(
        dim, convex=True, activation=activation, generator=generator
    ).double()
    x = normal(500, dim, seed=1)
    moved = potential.gradient(x)
    assert moved.square().mean().sqrt() <= bound * x.square().mean().sqrt()


@pytest.mark.parametrize("cls", STARTED.values(), ids=STARTED)
def test_precision_is_that_of_the_start(cls: type[Potential]) -> None:
    for dtype in (torch.float32, torch.float64):
        eye, shift = torch.eye(2, dtype=dtype), torch.ones(2, dtype=dtype)
        for potential in (
            cls(2, matrix=eye),
            cls(2, shift=shift),
            cls(2, matrix=eye, shift=shift.float()),
        ):
            assert {parameter.dtype for parameter in potential.parameters()} == {dtype}
            assert potential(torch.zeros(1, 2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("cls", [DenseICNN, ResidualPotential])
def test_weights_come_from_the_generator_and_leave_the_global_one_alone(
    cls: type[Potential],
) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (
        cls(3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [
        torch.cat([parameter.flatten() for parameter in each.parameters()])
        for each in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_default_widths_grow_with_the_dimension() -> None:
    assert DenseICNN(2).hidden == (64, 64, 32)
    assert DenseICNN(16).hidden == (128, 128, 64)
    assert DenseICNN(100).hidden == (200, 200, 100)


def test_blocks_of_rows_change_nothing() -> None:
    """Without a graph many rows are worked on in blocks."""
    potential, x = make(DenseICNN, hidden=(64, 64, 32)), normal(3000, 3)
    whole = Potential.value_and_gradient(potential, x)  # with a graph, all rows at once
    with torch.no_grad():
        for part, all_rows in zip(potential.value_and_gradient(x), whole, strict=True):
            torch.testing.assert_close(part, all_rows.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [(6,), (6, 4), (6, 5, 4, 3, 2)])
def test_any_number_of_layers_will_do(hidden: tuple[int, ...]) -> None:
    potential, x = make(DenseICNN, 3, hidden=hidden), normal(20, 3)
    gradient_is_that_of_autograd(potential, x)
    value_can_be_trained(potential, x)


def test_a_value_cannot_be_differentiated_once_its_weights_have_changed() -> None:
    potential = make(DenseICNN, 3)
    value = potential(normal(5, 3)).sum()
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_squares_are_squares_up_to_the_knee_and_grow_linearly_beyond() -> None:
    potential = DenseICNN(1, (1, 1)).double()
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.zero_()
        potential.affine.factor.fill_((1 - potential.affine.eps) ** 0.5)
        potential.quadratic[0, 1], potential.readout[0] = (
            1.0,
            1.0,
        )  # g(x) = celu(s(x)) = s(x)
        knee = SQUARE.knee
        points = [0.5, -knee, knee + 2, -knee - 1e6]
        x = torch.tensor(points, dtype=torch.float64).unsqueeze(-1)
        size = x.abs().squeeze(-1)
        linear = 2 * knee * size - knee**2
        expected = torch.where(size <= knee, size.square(), linear)
        torch.testing.assert_close(potential(x), expected, rtol=1e-9, atol=1e-9)


# ---- convexity


@CONVEX
@pytest.mark.parametrize("size", [0.1, 1.0, 1e3])
def test_convex_potentials_are_convex(new: New, size: float) -> None:
    for seed in range(3):
        potential, spread = new(size=size, seed=seed), 10.0 ** (seed - 1)
        is_midpoint_convex(
            potential,
            spread * normal(200, 3, seed=seed),
            spread * normal(200, 3, seed=seed + 9),
        )


def test_a_free_potential_need_not_be_convex() -> None:
    """So that the law above is one that can be broken."""
    potential = POTENTIALS["free celu"](size=1.0)
    with pytest.raises(AssertionError):
        is_midpoint_convex(potential, normal(200, 3), normal(200, 3, seed=9))


@CONVEX
def test_convex_potentials_know_how_convex_they_are(new: New) -> None:
    assert new().strong_convexity() >= 1e-3


@FREE
def test_free_potentials_claim_no_convexity(new: New) -> None:
    assert new().strong_convexity() == 0.0


@EVERY
def test_gentle_potentials_are_strongly_convex(new: New) -> None:
    """What tests of maps and bounds rely on; looked at where they look."""
    for seed in range(4):
        values = torch.linalg.eigvalsh(
            hessian(gentle(new, seed=seed), 3 * normal(300, 3, seed=seed))
        )
        assert 1 + values.min() > 0.4


def test_the_convexity_of_an_affine_map_is_its_smallest_eigenvalue() -> None:
    potential = Quadratic(4, positive_definite(4, condition=50.0, largest=10.0))
    assert potential.strong_convexity() == pytest.approx(0.2, rel=1e-10)


def test_nonnegative_is_positive_increasing_and_close_to_the_positive_part() -> None:
    raw = torch.linspace(-50, 50, 2001, dtype=torch.float64).requires_grad_()
    value = nonnegative(raw)
    (slope,) = torch.autograd.grad(value.sum(), raw)
    assert (value > 0).all()
    assert (slope > 0).all()
    torch.testing.assert_close(
        value.detach(), raw.detach().clamp(min=0), rtol=0, atol=0.04
    )


# ---- coercivity


def flatten_the_quadratic_part(potential: Potential) -> None:
    """All that is left of the quadratic part is eps."""
    for name, parameter in potential.named_parameters():
        if name.endswith("factor"):
            parameter.data.zero_()


def pull_down(potential: Potential) -> None:
    """Readouts of -1000, and nothing but eps against them."""
    flatten_the_quadratic_part(potential)
    for name, parameter in potential.named_parameters():
        if name == "readout":
            parameter.data.fill_(-1e3)


def scale_up(potential: Potential) -> None:
    for parameter in potential.parameters():
        parameter.data.mul_(1e3)


def scale_up_and_turn_over(potential: Potential) -> None:
    flatten_the_quadratic_part(potential)
    for parameter in potential.parameters():
        parameter.data.mul_(-1e3)


def level(potential: Potential) -> None:
    for parameter in potential.parameters():
        parameter.data.fill_(-1e3)


ADVERSARIES = (
    flatten_the_quadratic_part,
    pull_down,
    scale_up,
    scale_up_and_turn_over,
    level,
)


@EVERY
def test_psi_is_coercive_for_random_parameters(new: New) -> None:
    for seed in range(5):
        is_coercive(
            new(seed=seed),
            10 * normal(3, seed=seed),
            normal(100, 3, seed=seed),
            (1e5, 1e6, 1e7, 1e8),
        )


@EVERY
@pytest.mark.parametrize("spoil", ADVERSARIES, ids=lambda spoil: spoil.__name__)
def test_psi_is_coercive_for_adversarial_parameters(
    spoil: Callable[[Potential], None], new: New
) -> None:
    """A slope of 1e24 at most, against a curvature of 1e-3 at least: beyond 1e28 the curvature has won."""
    potential = new()
    spoil(potential)
    is_coercive(
        potential, 1e3 * normal(3), normal(100, 3, seed=1), (1e28, 1e30, 1e32, 1e34)
    )


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    name=st.sampled_from(list(POTENTIALS)),
    seed=st.integers(0, 10**6),
    size=st.floats(-3, 3).map(lambda exponent: 10.0**exponent),
    dim=st.integers(1, 5),
    z=st.floats(-1e6, 1e6),
)
def test_psi_is_coercive_whatever_the_parameters(
    name: str, seed: int, size: float, dim: int, z: float
) -> None:
    potential = POTENTIALS[name](dim, size=size, seed=seed)
    target = torch.full((dim,), z, dtype=torch.float64)
    is_coercive(potential, target, normal(20, dim, seed=seed), (1e28, 1e30, 1e32))


def test_a_potential_that_is_not_coercive_breaks_the_law() -> None:
    class Falling(Potential):
        dim = 3

        def forward(self, x: Tensor) -> Tensor:
            return -0.6 * x.square().sum(-1)

    with pytest.raises(AssertionError):
        is_coercive(
            Falling(), torch.zeros(3, dtype=torch.float64), normal(10, 3), (1e5, 1e6)
        )


@EVERY
def test_every_inner_problem_of_a_random_potential_is_solved(new: New) -> None:
    for seed in range(2):
        found = conjugate(
            new(size=1.0, seed=seed),
            5 * normal(40, 3, seed=seed),
            tol=1e-6,
            max_steps=500,
        )
        assert found.solution.report() == "all 40 rows converged"


@EVERY
@pytest.mark.slow
@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_every_inner_problem_of_many_random_potentials_is_solved(
    new: New, size: float
) -> None:
    for seed in range(10):
        tol = (
            1e-6 * max(1.0, size) ** 4
        )  # values grow so, and with them the rounding of residuals
        found = conjugate(
            new(size=size, seed=seed),
            5 * normal(100, 3, seed=seed),
            tol=tol,
            max_steps=2000,
        )
        assert found.solution.report() == "all 100 rows converged"


# ---- what a subclass gets for free


class Cubic(Potential):
    """g(y) = sum_j |y_j|^3 / 3, of which only the value is written."""

    dim = 3

    def forward(self, x: Tensor) -> Tensor:
        return x.abs().pow(3).sum(-1) / 3


class Linear(Potential):
    """g(y) = sum_j y_j, whose gradient does not depend on y."""

    dim = 3

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1)


def test_a_potential_that_only_writes_its_value_has_the_rest() -> None:
    potential, x, v = Cubic(), normal(5, 3), normal(5, 3, seed=1)
    gradient_is_that_of_autograd(potential, x)
    torch.testing.assert_close(potential.gradient(x), x * x.abs())
    torch.testing.assert_close(potential.hessian_product(x, v), 2 * x.abs() * v)
    with torch.no_grad():
        torch.testing.assert_close(potential.gradient(x), x * x.abs())
    with pytest.raises(NotImplementedError, match="Cubic"):
        potential.config()


def test_a_linear_potential_has_no_curvature() -> None:
    x = normal(5, 3)
    assert not Linear().hessian_product(x, x).any()
    torch.testing.assert_close(psi(Linear(), x), x.square().sum(-1) / 2 + x.sum(-1))


# ---- errors


@pytest.mark.parametrize("cls", [DenseICNN, ResidualPotential])
def test_an_unknown_activation_is_refused_by_name(cls: type[Potential]) -> None:
    with pytest.raises(
        DataError, match=r"'relu6' is not known; choose one of celu, softplus, tanh"
    ):
        cls(2, activation="relu6")


def test_a_convex_network_refuses_an_activation_that_is_not() -> None:
    with pytest.raises(
        DataError, match=r"'tanh' is not convex.*choose celu or softplus"
    ):
        DenseICNN(2, convex=True, activation="tanh")


@pytest.mark.parametrize("cls", STARTED.values(), ids=STARTED)
@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0.0], [0.0, -1.0]],
        [[1.0, 2.0], [2.0, 1.0]],
        [[1.0, 0.5], [0.0, 1.0]],
        [[1e-4, 0.0], [0.0, 1.0]],
    ],
    ids=["negative", "indefinite", "not symmetric", "below eps"],
)
def test_a_start_that_is_no_optimal_map_is_refused(
    cls: type[Potential], matrix: list[list[float]]
) -> None:
    with pytest.raises(
        DataError, match=r"symmetric with every eigenvalue above eps = 0\.001"
    ):
        cls(2, matrix=torch.tensor(matrix))


def test_a_smaller_eps_allows_flatter_starts() -> None:
    matrix = torch.diag(torch.tensor([1e-4, 1.0], dtype=torch.float64))
    potential = Quadratic(2, matrix, eps=1e-5)
    torch.testing.assert_close(
        potential.gradient(torch.ones(1, 2).double()) + 1,
        torch.tensor([[1e-4, 1.0]]).double(),
    )
    assert potential.config() == {"dim": 2, "eps": 1e-5}


def test_a_new_network_may_begin_with_small_squares_and_spread_biases() -> None:
    first, second = (torch.Generator().manual_seed(0) for _ in range(2))
    plain = DenseICNN(3, (8, 4), generator=first)
    made = DenseICNN(3, (8, 4), generator=second, squares=0.5, bias=2.0)
    torch.testing.assert_close(made.quadratic, 0.5 * plain.quadratic)
    torch.testing.assert_close(made.linear, plain.linear)
    assert not plain.bias.any()
    assert 0.5 < made.bias.std() < 5
    assert (
        made.config() == plain.config()
    )  # of a trained network nothing of that is left
    x = normal(5, 3).float()
    torch.testing.assert_close(made.value_and_gradient(x)[1], torch.zeros(5, 3))
