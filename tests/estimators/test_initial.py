"""The potential that training starts from: as told, as the budget allows, or that of the map to go on from."""

import math
from typing import Any

import pytest
import torch
from fits import X, Y, quick, same, weights
from problems import normal

from brenier import (
    Budget,
    Conditional,
    ConditionalMap,
    DataError,
    DenseICNN,
    MeanPotential,
    OptimalTransport,
    Potential,
    Quadratic,
    ResidualPotential,
    TransportMap,
)
from brenier.datasets import Rows
from brenier.estimators.initial import (
    POTENTIALS,
    identity_potential,
    initial_potential,
    maker_of,
    new_potential,
    warm_potential,
)
from brenier.estimators.options import Options
from brenier.estimators.parameters import Parameters
from brenier.potentials import EntropicPotential, widths
from brenier.transport.coordinates import Classes, identity_coordinates


def options(warm: Any = None, **parameters: Any) -> Options:
    """What a fit is told."""
    told = Parameters(**OptimalTransport(**parameters).get_params(deep=False))
    source, target = (Rows(torch.from_numpy(side), "X") for side in (X, Y))
    return told.options(source, target, warm)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- the identity


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_identity_moves_nothing_and_is_not_trained(dtype: str) -> None:
    potential = identity_potential(3, options(dtype=dtype))
    x = normal(5, 3).to(getattr(torch, dtype))
    torch.testing.assert_close(potential.gradient(x), torch.zeros_like(x))
    assert next(potential.parameters()).dtype == x.dtype
    assert not any(part.requires_grad for part in potential.parameters())


@pytest.mark.parametrize("name", POTENTIALS)
def test_new_potentials_start_near_the_identity(name: str) -> None:
    potential = initial_potential(3, options(potential=name), generator())
    x = normal(200, 3).float()
    assert potential.gradient(x).norm(dim=-1).mean() < 0.2
    assert all(part.requires_grad for part in potential.parameters())


# ---- new potentials


@pytest.mark.parametrize(
    ("name", "kind", "convex"),
    [
        ("free", DenseICNN, False),
        ("convex", DenseICNN, True),
        ("residual", ResidualPotential, False),
    ],
)
def test_potentials_by_name(name: str, kind: type, convex: bool) -> None:
    made = new_potential(maker_of(name, 1, Budget(1000, 2), None), 2, generator())
    assert type(made) is kind
    assert (made.strong_convexity() > 0) == convex


@pytest.mark.parametrize("name", POTENTIALS)
def test_one_seed_gives_one_potential(name: str) -> None:
    make = maker_of(name, 2, Budget(1000, 2), None)
    first, second, other = (make(2, generator(seed)).state_dict() for seed in (0, 0, 1))
    assert same(dict(first), dict(second))
    assert not same(dict(first), dict(other))


@pytest.mark.parametrize(
    ("steps", "dim", "layers"),
    [(None, 16, 3), (5000, 16, 4), (10_000, 16, 5), (10_000, 8, 7)],
)
def test_free_networks_have_the_layers_of_the_budget(
    steps: int | None, dim: int, layers: int
) -> None:
    budget = Budget(100_000, dim, steps)
    made = maker_of("free", 1, budget, None)(dim, generator())
    assert isinstance(made, DenseICNN)
    assert tuple(made.hidden) == widths(dim, layers)
    other = maker_of("convex", 1, budget, None)(dim, generator())
    assert isinstance(other, DenseICNN)
    assert len(other.hidden) == 3  # only free ones grow


@pytest.mark.parametrize("name", POTENTIALS)
def test_only_free_and_default_networks_are_two_by_default(name: str) -> None:
    made = maker_of(name, None, Budget(1000, 2), None)(2, generator())
    assert len(made.members()) == (2 if name in ("auto", "free") else 1)


@pytest.mark.parametrize(
    ("dim", "name"), [(2, "free"), (23, "free"), (96, "residual"), (128, "residual")]
)
def test_the_default_network_follows_the_dimension(dim: int, name: str) -> None:
    budget = Budget(math.inf, dim)
    made = maker_of("auto", 1, budget, None)(dim, generator())
    named = maker_of(name, 1, budget, None)(dim, generator())
    assert type(made) is type(named)
    assert same(dict(made.state_dict()), dict(named.state_dict()))
    by_name = POTENTIALS["auto"](dim, generator())
    assert same(dict(by_name.state_dict()), dict(named.state_dict()))


@pytest.mark.parametrize(
    ("dim", "steps", "hidden"),
    [
        (24, 100, (128, 128, 64)),
        (95, 100, (128, 128, 64)),
        (32, 5000, (128, 128, 128, 64)),
    ],
)
def test_between_it_is_of_softplus_with_small_squares_and_spread_biases(
    dim: int, steps: int, hidden: tuple[int, ...]
) -> None:
    budget = Budget(math.inf, dim, steps)
    made = maker_of("auto", 1, budget, None)(dim, generator())
    assert isinstance(made, DenseICNN)
    assert made.activation.name == "softplus"
    assert tuple(made.hidden) == hidden
    plain = DenseICNN(dim, hidden, generator=generator())
    torch.testing.assert_close(made.quadratic, 0.2 * plain.quadratic)
    torch.testing.assert_close(made.linear, plain.linear)
    assert 0.8 < made.bias.std() < 1.2
    assert not plain.bias.any()


def test_fields_say_where_it_changes() -> None:
    budget = Budget(math.inf, 4, smooth_dim=4, smooth_squares=0.5, smooth_bias=0.0)
    made = maker_of("auto", 1, budget, None)(4, generator())
    assert isinstance(made, DenseICNN)
    assert made.hidden == widths(4)
    narrow = Budget(math.inf, 4, smooth_dim=4, widest_dim=1)
    assert maker_of("auto", 1, narrow, None)(4, generator()).hidden == widths(1)
    plain = DenseICNN(4, generator=generator())
    torch.testing.assert_close(made.quadratic, 0.5 * plain.quadratic)
    assert not made.bias.any()


def test_a_field_says_from_which_dimension_on_it_is_residual() -> None:
    fit = options(settings={"residual_dim": 2})
    assert isinstance(initial_potential(2, fit, generator()), MeanPotential)
    made = fit.make_potential(2, generator()).members()[0]
    assert isinstance(made, ResidualPotential)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_networks_as_asked_for(count: int) -> None:
    for name in POTENTIALS:
        made = maker_of(name, count, Budget(1000, 2), None)(2, generator())
        assert len(made.members()) == count
        assert isinstance(made, MeanPotential) == (count > 1)


def test_members_are_different() -> None:
    made = maker_of("free", 2, Budget(1000, 2), None)(2, generator())
    first, second = (member.state_dict() for member in made.members())
    assert not same(dict(first), dict(second))


def test_a_function_makes_the_potential() -> None:
    make = maker_of(lambda dim, _: Quadratic(dim), None, Budget(1000, 2), None)
    assert isinstance(make(3, generator()), Quadratic)


@pytest.mark.parametrize(
    "made", [None, 3, torch.nn.Linear(2, 1), Quadratic(3)], ids=str
)
def test_what_is_no_potential_of_the_dimension_is_refused(made: Any) -> None:
    with pytest.raises(DataError, match=r"^potential: the function returned .*dim=2"):
        new_potential(lambda dim, _: made, 2, generator())


# ---- conditioned points


def test_conditioned_points_have_a_conditional_potential() -> None:
    made = initial_potential(5, options(n_networks=2), generator(), transport_dim=2)
    assert isinstance(made, Conditional)
    assert (made.dim, made.transport_dim) == (5, 2)
    assert len(made.members()) == 2


# ---- to go on from


def mean_map() -> TransportMap:
    """A map of two networks."""
    return TransportMap(MeanPotential([DenseICNN(2, (8, 4)), DenseICNN(2, (8, 4))]))


def affine_maps() -> list[Any]:
    """Maps without a network: one, and one of classes."""
    one = identity_coordinates(2).repeated(3)
    conditional = Conditional(Quadratic(5), 2)
    return [
        TransportMap(Quadratic(2)),
        ConditionalMap(conditional, Classes(("a", "b", "c"), one)),
    ]


def test_an_affine_map_has_no_potential_to_go_on_from() -> None:
    for warm in (None, *affine_maps()):
        assert warm_potential(warm) is None
        made = initial_potential(2, options(warm), generator())
        assert len(made.members()) == 2  # a new one, as the budget allows


def plan() -> EntropicPotential:
    """The potential of some plan."""
    return EntropicPotential(2, 3, 4, temperature=0.5)


def test_of_a_plan_there_is_no_potential_to_go_on_from() -> None:
    for network in (plan(), MeanPotential([plan(), plan()])):
        assert warm_potential(TransportMap(network)) is None


def test_of_networks_and_a_plan_the_networks_go_on() -> None:
    networks = [DenseICNN(2, (8, 4)), DenseICNN(2, (8, 4))]
    both = MeanPotential([*networks, plan()], [0.25, 0.25, 0.5])
    found = warm_potential(TransportMap(both))
    assert isinstance(found, MeanPotential)
    assert found.members() == networks
    assert found.weights is None
    made = initial_potential(2, options(TransportMap(both)), generator())
    assert len(made.members()) == 2


def test_weights_without_a_plan_are_kept() -> None:
    networks = [DenseICNN(2, (8, 4)), DenseICNN(2, (8, 4))]
    told = MeanPotential(networks, [0.25, 0.75])
    assert warm_potential(TransportMap(told)) is told


def test_a_network_goes_on_as_it_is_and_is_copied() -> None:
    warm = mean_map()
    made = initial_potential(2, options(warm), generator())
    assert made is not warm.network
    assert same(dict(made.state_dict()), dict(warm.network.state_dict()))
    next(made.parameters()).data.add_(1.0)
    assert not same(dict(made.state_dict()), dict(warm.network.state_dict()))


def test_precision_is_that_of_the_new_fit() -> None:
    made = initial_potential(2, options(mean_map(), dtype="float64"), generator())
    assert next(made.parameters()).dtype == torch.float64


def test_the_number_of_networks_is_that_of_the_map() -> None:
    for asked in (None, 2):
        made = initial_potential(
            2, options(mean_map(), n_networks=asked, max_steps=5), generator()
        )
        assert len(made.members()) == 2
    with pytest.raises(DataError, match=r"^n_networks: is 3, the map to go on from is"):
        options(mean_map(), n_networks=3)


def test_a_fit_that_goes_on_from_an_affine_map_starts_a_network() -> None:
    ot = quick(warm_start=True, settings={"z_threshold": float("inf")}).fit(X, Y)
    assert isinstance(ot.map_.network, Quadratic)
    before = weights(ot)
    ot.fit(X, Y)
    assert isinstance(ot.map_.network, DenseICNN)
    for name, part in ot.map_.coordinates.tensors().items():
        assert torch.equal(part, before[name])


def test_potentials_of_ones_own_are_told_the_dimension_with_the_condition() -> None:
    asked = list[int]()

    def make(dim: int, source: torch.Generator) -> Potential:
        asked.append(dim)
        return DenseICNN(dim, (8, 4), generator=source)

    labels = [0, 1] * 150
    quick(make, max_steps=1).fit(X[:300], Y, source_labels=labels, target_labels=labels)
    c = [0.1, 0.2] * 150
    quick(make, max_steps=1).fit(X, Y, target_covariates=c)
    assert asked == [2 + 2, 2 + 3]
