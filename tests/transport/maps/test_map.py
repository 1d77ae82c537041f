"""The transport map: closed forms in every kind of coordinates, its inverse, its potential, and how it is called."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import POTENTIALS, gentle, normal, positive_definite
from torch import Tensor

from brenier import (
    ConvergenceWarning,
    Coordinates,
    DataError,
    NewtonCG,
    Potential,
    Quadratic,
    Status,
    TransportMap,
)
from brenier.transport.coordinates.affine import identity_coordinates, plain_coordinates
from brenier.transport.coordinates.span import gaussian_coordinates
from brenier.transport.coordinates.units import feature_units

MATRIX, SHIFT = positive_definite(3, condition=6.0, largest=2.0), 3 * normal(3, seed=5)


def points(n: int = 50, seed: int = 0, offset: float = 2.0) -> Tensor:
    """Samples of the source."""
    return offset + normal(n, 3, seed=seed) @ positive_definite(3, condition=10.0)


def affine(x: Tensor) -> Tensor:
    """The map that is to be found again."""
    return x @ MATRIX + SHIFT


def coordinates_of(kind: str) -> Coordinates:
    x, z = points(200), affine(points(200, seed=1))
    unit, _ = feature_units(x, z, "common")
    if kind == "identity":
        return identity_coordinates(3)
    return (
        gaussian_coordinates(x, z, unit)
        if kind == "gaussian"
        else plain_coordinates(x, z, unit)
    )


def affine_map(kind: str, **settings: Any) -> TransportMap:
    """T(x) = M x + c, its potential expressed in coordinates of this kind: A'MA u + A'(T(m0) - m1)/s."""
    coordinates = coordinates_of(kind)
    basis, unit = coordinates.basis, coordinates.unit[0]
    shift = (affine(coordinates.source_mean) - coordinates.target_mean) / unit
    potential = Quadratic(3, basis.mT @ MATRIX @ basis, shift @ basis)
    return TransportMap(
        potential, coordinates, **{"method": NewtonCG(), "tol": 1e-10, **settings}
    )


def network_map(**settings: Any) -> TransportMap:
    """A map of a network with strongly convex psi, in Gaussian coordinates."""
    return TransportMap(
        gentle(POTENTIALS["free celu"]),
        coordinates_of("gaussian"),
        **{"tol": 1e-10, **settings},
    )


KINDS = pytest.mark.parametrize("kind", ["gaussian", "plain", "identity"])
MAPS: dict[str, Callable[[], TransportMap]] = {
    **{kind: partial(affine_map, kind) for kind in ("gaussian", "plain", "identity")},
    "network": network_map,
}
EVERY = pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)


# ---- closed forms


@KINDS
def test_an_affine_map_is_itself_in_any_coordinates(kind: str) -> None:
    transport, x = affine_map(kind), points(seed=2)
    torch.testing.assert_close(transport(x), affine(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(transport.inverse(affine(x)), x, rtol=0, atol=1e-8)


@KINDS
def test_its_potential_is_known_up_to_a_constant(kind: str) -> None:
    """The potential g is x'(M - I)x/2 + c.x."""
    transport, x = affine_map(kind), points(seed=2)
    expected = (x * (x @ (MATRIX - torch.eye(3)) / 2 + SHIFT)).sum(-1)
    found = transport.potential(x)
    torch.testing.assert_close(
        found - found.mean(), expected - expected.mean(), rtol=0, atol=1e-9
    )


@KINDS
def test_its_cost_is_half_the_squared_displacement(kind: str) -> None:
    x = points(seed=2)
    torch.testing.assert_close(
        affine_map(kind).cost(x),
        (x - affine(x)).square().sum(-1) / 2,
        rtol=1e-10,
        atol=1e-10,
    )


def test_features_with_units_of_their_own_have_a_cost_of_their_own() -> None:
    """T(x) = x + s^2 grad g(x), and c = sum_i ((x - T(x))_i / s_i)^2 / 2."""
    units = torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)
    x, z = points(100) * units, affine(points(100, seed=1)) * units
    coordinates = gaussian_coordinates(x, z, feature_units(x, z, "feature")[0])
    transport = TransportMap(gentle(POTENTIALS["convex celu"]), coordinates)
    moved, s = transport(x), coordinates.unit / coordinates.scale
    torch.testing.assert_close(
        transport.cost(x), (((x - moved) / s) ** 2).sum(-1) / 2, rtol=1e-9, atol=1e-12
    )
    for j in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[j] = 1e-5 * s[j]
        slope = (transport.potential(x + step) - transport.potential(x - step)) / (
            2 * step[j]
        )
        torch.testing.assert_close(
            s[j] ** 2 * slope, (moved - x)[:, j], rtol=1e-5, atol=float(1e-7 * s[j])
        )


# ---- laws of every map


@EVERY
def test_the_inverse_undoes_the_map(make: Callable[[], TransportMap]) -> None:
    transport, x = make(), points(seed=2)
    torch.testing.assert_close(transport.inverse(transport(x)), x, rtol=0, atol=1e-7)
    torch.testing.assert_close(transport(transport.inverse(x)), x, rtol=0, atol=1e-7)


@EVERY
def test_the_map_is_the_gradient_of_its_potential(
    make: Callable[[], TransportMap],
) -> None:
    transport, x, v, h = make(), points(seed=2), normal(50, 3, seed=3), 1e-5
    along = (transport.potential(x + h * v) - transport.potential(x - h * v)) / (2 * h)
    torch.testing.assert_close(
        along, ((transport(x) - x) * v).sum(-1), rtol=1e-6, atol=1e-6
    )


@EVERY
def test_the_map_is_monotone(make: Callable[[], TransportMap]) -> None:
    transport, x, other = make(), points(seed=2), points(seed=3)
    assert (((transport(x) - transport(other)) * (x - other)).sum(-1) > 0).all()


@EVERY
def test_the_cost_is_that_of_the_map(make: Callable[[], TransportMap]) -> None:
    transport, x = make(), points(seed=2)
    torch.testing.assert_close(
        transport.cost(x), (x - transport(x)).square().sum(-1) / 2, rtol=1e-9, atol=1e-9
    )


@EVERY
def test_interpolation_goes_from_x_to_its_image_at_constant_speed(
    make: Callable[[], TransportMap],
) -> None:
    transport, x = make(), points(seed=2)
    image = transport(x)
    torch.testing.assert_close(transport.interpolate(x, 0), x, rtol=0, atol=0)
    torch.testing.assert_close(transport.interpolate(x, 1), image, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        transport.interpolate(x, t=0.5), (x + image) / 2, rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        transport.interpolate(x, -1.0), 2 * x - image, rtol=0, atol=1e-12
    )
    for s, t in ((0.1, 0.3), (0.3, 0.9)):
        moved = (transport.interpolate(x, t) - transport.interpolate(x, s)).norm(dim=-1)
        torch.testing.assert_close(
            moved, (t - s) * (image - x).norm(dim=-1), rtol=0, atol=1e-12
        )


@EVERY
def test_dual_terms_meet_the_cost_along_the_map_and_bound_it_elsewhere(
    make: Callable[[], TransportMap],
) -> None:
    transport, x, z = make(), points(seed=2), affine(points(seed=3))
    phi, along, solution = transport.dual_terms(x, transport(x))
    assert solution.unconverged == 0
    torch.testing.assert_close(
        phi + along, transport.coordinates.cost(x, transport(x)), rtol=0, atol=1e-9
    )
    phi, phi_c, _ = transport.dual_terms(x, z)
    pairs = torch.stack(
        [transport.coordinates.cost(x, row.expand_as(x)) for row in z], 1
    )
    assert (phi.unsqueeze(1) + phi_c <= pairs + 1e-10).all()


@pytest.mark.parametrize("t", [float("nan"), float("inf")])
def test_interpolation_refuses_what_is_no_time(t: float) -> None:
    with pytest.raises(
        DataError, match=r"t: must be a finite number.*0 gives x, 1 gives T\(x\)"
    ):
        network_map().interpolate(points(), t)


def test_results_that_the_precision_given_cannot_hold_are_refused() -> None:
    shift = torch.tensor([1e39, 0.0, 0.0], dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    transport, x = TransportMap(Quadratic(3, eye, shift)), points(4).float()
    assert torch.isfinite(transport(x.double())).all()
    message = r"^x: 4 of 4 rows, the first row 0, have results that float32 cannot hold; give x in float64"
    for given in (x, x.numpy(), x.half(), x.bfloat16()):
        with pytest.raises(DataError, match=message):
            transport(given)
    far = torch.tensor([[0.0, 0.0, 0.0], [1e25, 0.0, 0.0]])
    with pytest.raises(DataError, match=r"^x: 1 of 2 rows, the first row 1, have"):
        affine_map("identity").cost(far)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_whole_numbers_come_back_in_double_precision(dtype: torch.dtype) -> None:
    transport, x = network_map(), points(8).abs().to(dtype)
    assert transport(x).dtype == torch.float64
    torch.testing.assert_close(transport(x), transport(x.double()), rtol=0, atol=0)


# ---- batches


def results(transport: TransportMap, x: Tensor) -> list[Tensor]:
    phi, phi_c, _ = transport.dual_terms(x, x + 1)
    return [
        transport(x),
        transport.inverse(x),
        transport.potential(x),
        transport.cost(x),
        phi,
        phi_c,
    ]


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_batches_change_nothing(batch_size: int) -> None:
    x = points(50)
    for found, expected in zip(
        results(network_map(batch_size=batch_size), x),
        results(network_map(), x),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_solution_of_many_batches_has_all_rows() -> None:
    none = torch.empty(0, 3)  # so that every row starts at itself alone
    transport = network_map(batch_size=7, start_rows=none)
    found, solution = transport.inverse(points(50), return_solution=True)
    transport = network_map(start_rows=none)
    _, expected = transport.inverse(points(50), return_solution=True)
    assert found.shape == (50, 3)
    assert torch.equal(solution.steps, expected.steps)
    assert solution.evaluations == expected.evaluations


# ---- unconverged rows


def test_rows_that_did_not_converge_are_warned_about() -> None:
    transport = network_map(max_steps=1)
    with pytest.warns(
        ConvergenceWarning,
        match=r"inverse: 50 of 50 rows ended out_of_steps: raise `max_steps`",
    ):
        rough = transport.inverse(points(50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same, solution = transport.inverse(points(50), return_solution=True)
    assert torch.equal(rough, same)
    assert (solution.status == Status.OUT_OF_STEPS).all()


def test_rows_far_away_do_not_disturb_those_nearby() -> None:
    """They converge to a tol in proportion to their distance, which is all that single precision can give."""
    transport, near, far = network_map(), points(10), 1e6 * normal(3, 3)
    single = TransportMap(transport.network.float(), transport.coordinates)
    both, solution = single.inverse(torch.cat([near, far]), return_solution=True)
    solution.check()
    torch.testing.assert_close(both[:10], single.inverse(near), rtol=0, atol=1e-5)
    torch.testing.assert_close(single(both[10:]), far, rtol=1e-2, atol=1e-2 * 1e6)


# ---- what is given and what comes back


def test_the_kind_given_comes_back() -> None:
    transport, x = network_map(), points(8)
    expected = transport(x).numpy()
    frame = pd.DataFrame(x.numpy(), columns=list("abc"), index=range(10, 18))
    moved = transport(frame)
    assert list(moved.columns) == list("abc")
    assert list(moved.index) == list(range(10, 18))
    for given, tol in (
        (x.numpy(), 1e-12),
        (x.numpy().astype(np.float32), 1e-5),
        (x.tolist(), 1e-12),
        (frame, 1e-12),
    ):
        np.testing.assert_allclose(np.asarray(transport(given)), expected, atol=tol)
        np.testing.assert_allclose(
            np.asarray(transport.inverse(transport(given))), x, atol=10 * tol + 1e-8
        )
    assert transport(x.numpy().astype(np.float32)).dtype == np.float32
    assert transport(x.float()).dtype == torch.float32
    assert isinstance(transport.interpolate(x.numpy(), 0.5), np.ndarray)


def test_numbers_per_row_come_back_as_arrays_and_tensors() -> None:
    transport, x = network_map(), points(8)
    for function in (transport.potential, transport.cost):
        assert function(x).shape == (8,)
        assert isinstance(function(x.numpy()), np.ndarray)
        np.testing.assert_allclose(function(x.numpy()), function(x))


def test_no_rows() -> None:
    transport, nothing = network_map(), torch.zeros(0, 3)
    for function in (
        transport,
        transport.inverse,
        lambda x: transport.interpolate(x, 0.5),
    ):
        assert function(nothing).shape == (0, 3)
    for function in (transport.potential, transport.cost):
        assert function(nothing).shape == (0,)


@pytest.mark.parametrize(
    "bad", [torch.zeros(4, 2), torch.zeros(3), torch.full((1, 3), torch.nan)]
)
def test_what_cannot_be_moved_is_refused(bad: Tensor) -> None:
    transport = network_map()
    for function in (transport, transport.inverse, transport.potential, transport.cost):
        with pytest.raises(DataError, match=r"^[xz]: "):
            function(bad)


@pytest.mark.parametrize("name", POTENTIALS)
def test_single_precision_networks_work_on_double_precision_data(name: str) -> None:
    """A network in float32 in centred coordinates moves data a million away from the origin, to a part in a million."""
    x = points(20, offset=1e6)
    z = affine(x)
    coordinates = gaussian_coordinates(x, z, feature_units(x, z, "common")[0])
    exact: Potential = gentle(POTENTIALS[name])
    single = type(exact)(**exact.config())
    single.load_state_dict(exact.state_dict())
    one, other = TransportMap(single, coordinates), TransportMap(exact, coordinates)
    assert one(x).dtype == torch.float64
    torch.testing.assert_close(one(x), other(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(one.inverse(one(x)), x, rtol=0, atol=1e-2)


def test_a_map_moves_to_a_device_and_is_given_back() -> None:
    transport = network_map()
    assert transport.to("cpu") is transport
    assert transport.coordinates.unit.device == torch.device("cpu")
