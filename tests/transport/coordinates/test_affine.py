"""The coordinates of a potential: inverses, inner products, whitening, and dual values in the units of the data."""

from collections.abc import Callable

import ot
import pytest
import torch
from problems import normal, positive_definite, with_moments
from torch import Tensor

from brenier import Coordinates, NewtonCG, Quadratic, TransportMap
from brenier.statistics.gaussian import Gaussian, fit_gaussian, gaussian_map
from brenier.transport.coordinates.affine import identity_coordinates, plain_coordinates
from brenier.transport.coordinates.span import gaussian_coordinates
from brenier.transport.coordinates.units import feature_units

Pair = tuple[Tensor, Tensor]


def ordinary(n: int = 60, offset: float = 0.0, scale: float = 1.0) -> Pair:
    x = offset + scale * normal(n, 3) @ positive_definite(3, condition=10.0)
    return x, offset + scale * (
        1 + normal(n + 5, 3, seed=1) @ positive_definite(3, condition=5.0, seed=2)
    )


def with_units(units: tuple[float, ...]) -> Pair:
    x, z = ordinary()
    return x * torch.tensor(units, dtype=torch.float64), z * torch.tensor(
        units, dtype=torch.float64
    )


def with_a_constant_feature() -> Pair:
    x, z = ordinary()
    x[:, 1], z[:, 1] = 4.0, 5.0
    return x, z


SAMPLES: dict[str, Pair] = {
    "ordinary": ordinary(),
    "far": ordinary(offset=1e6),
    "tiny": ordinary(scale=1e-8),
    "huge": ordinary(scale=1e8),
    "uneven": with_units((1e-8, 1.0, 1e8)),
    "constant feature": with_a_constant_feature(),
    "few": (normal(2, 3), normal(2, 3, seed=1)),
    "one point": (torch.full((4, 3), 2.0).double(), torch.full((4, 3), 3.0).double()),
    "many features": (normal(5, 30), normal(7, 30, seed=1)),
}

MAKERS: dict[str, Callable[[Tensor, Tensor], Coordinates]] = {
    "gaussian": lambda x, z: gaussian_coordinates(
        x, z, feature_units(x, z, "common")[0]
    ),
    "gaussian, feature units": lambda x, z: gaussian_coordinates(
        x, z, feature_units(x, z, "feature")[0]
    ),
    "plain": lambda x, z: plain_coordinates(x, z, feature_units(x, z, "common")[0]),
    "identity": lambda x, z: identity_coordinates(x.shape[1]),
}

EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
ALL_SAMPLES = pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)


# ---- laws of all coordinates


@EVERY
@ALL_SAMPLES
def test_in_and_out_are_inverse(
    make: Callable[[Tensor, Tensor], Coordinates], samples: Pair
) -> None:
    coordinates = make(*samples)
    x, z = samples
    assert all(torch.isfinite(part).all() for part in coordinates.tensors().values())
    u, w = coordinates.encode_source(x), coordinates.encode_target(z)
    units = coordinates.unit
    torch.testing.assert_close(
        (coordinates.decode_source(u) - x) / units,
        torch.zeros_like(x),
        rtol=0,
        atol=1e-7,
    )
    torch.testing.assert_close(
        (coordinates.decode_target(w) - z) / units,
        torch.zeros_like(z),
        rtol=0,
        atol=1e-7,
    )
    out, away = (
        coordinates.decode_source(normal(*x.shape)),
        coordinates.decode_target(normal(*z.shape)),
    )
    kept = coordinates.inverse @ coordinates.basis
    if (
        torch.allclose(kept, torch.eye(len(kept), dtype=kept.dtype))
        and coordinates.source_mean.abs().max() < 1e3 * units.max()
    ):  # elsewhere a direction in which a side is constant is left out, or the data's own digits are the limit
        torch.testing.assert_close(
            coordinates.encode_source(out), normal(*x.shape), rtol=1e-9, atol=1e-9
        )
        torch.testing.assert_close(
            coordinates.encode_target(away), normal(*z.shape), rtol=1e-9, atol=1e-9
        )


@EVERY
@ALL_SAMPLES
def test_inner_products_are_kept(
    make: Callable[[Tensor, Tensor], Coordinates], samples: Pair
) -> None:
    """<u, w> = <a, b> with a = (x - m0)/s and b = (z - m1)/s."""
    coordinates, (x, z) = make(*samples), samples
    a, b = (
        (x - coordinates.source_mean) / coordinates.unit,
        (z - coordinates.target_mean) / coordinates.unit,
    )
    expected = a @ b.mT
    found = coordinates.encode_source(x) @ coordinates.encode_target(z).mT
    scale = float(a.norm(dim=-1).max() * b.norm(dim=-1).max())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8 * scale + 1e-300)


@EVERY
@ALL_SAMPLES
def test_the_cost_is_that_of_the_data_in_units(
    make: Callable[[Tensor, Tensor], Coordinates], samples: Pair
) -> None:
    coordinates, (x, z) = make(*samples), samples
    n = min(len(x), len(z))
    expected = ((x[:n] - z[:n]) / coordinates.unit).norm(dim=-1) ** 2 / 2
    torch.testing.assert_close(
        coordinates.cost(x[:n], z[:n]), expected, rtol=1e-12, atol=0
    )
    asked = (
        torch.ones_like(coordinates.unit)
        if coordinates.common
        else coordinates.unit / coordinates.scale
    )
    reported = coordinates.squared_unit() * expected
    torch.testing.assert_close(
        reported, ((x[:n] - z[:n]) / asked).norm(dim=-1) ** 2 / 2, rtol=1e-12, atol=0
    )


@EVERY
def test_parts_by_name_rebuild_the_coordinates(
    make: Callable[[Tensor, Tensor], Coordinates],
) -> None:
    coordinates, (x, z) = make(*ordinary()), ordinary()
    for again in (Coordinates(**coordinates.tensors()), coordinates.to("cpu")):
        assert torch.equal(again.encode_source(x), coordinates.encode_source(x))
        assert torch.equal(again.encode_target(z), coordinates.encode_target(z))


# ---- Gaussian coordinates


def fits_inside(coordinates: Coordinates, samples: Pair) -> tuple[Gaussian, Gaussian]:
    """The Gaussian fits of both sides, moved into the coordinates."""
    x, z = samples
    source = fit_gaussian((x - coordinates.source_mean) / coordinates.unit).covariance
    target = fit_gaussian((z - coordinates.target_mean) / coordinates.unit).covariance
    inverse, basis, zero = (
        coordinates.inverse,
        coordinates.basis,
        torch.zeros(x.shape[1], dtype=torch.float64),
    )
    return Gaussian(zero, inverse @ source @ inverse.mT), Gaussian(
        zero, basis.mT @ target @ basis
    )


@pytest.mark.parametrize("kind", ["gaussian", "gaussian, feature units"])
@pytest.mark.parametrize("name", ["ordinary", "far", "tiny", "huge", "many features"])
def test_both_sides_have_one_diagonal_covariance(kind: str, name: str) -> None:
    coordinates = MAKERS[kind](*SAMPLES[name])
    source, target = fits_inside(coordinates, SAMPLES[name])
    torch.testing.assert_close(
        source.covariance, source.covariance.diagonal().diag(), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        target.covariance, source.covariance, rtol=1e-6, atol=1e-6
    )
    assert source.covariance.diagonal().mean() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "gaussian, feature units"])
@pytest.mark.parametrize("name", ["ordinary", "far", "tiny", "huge", "many features"])
def test_the_map_between_the_fits_is_the_identity(kind: str, name: str) -> None:
    matrix = gaussian_map(*fits_inside(MAKERS[kind](*SAMPLES[name]), SAMPLES[name]))
    torch.testing.assert_close(
        matrix, torch.eye(len(matrix), dtype=torch.float64), rtol=0, atol=1e-5
    )


def test_the_samples_are_centred() -> None:
    x, z = SAMPLES["far"]
    coordinates = MAKERS["gaussian"](x, z)
    torch.testing.assert_close(
        coordinates.encode_source(x).mean(0), torch.zeros(3).double(), rtol=0, atol=1e-8
    )
    torch.testing.assert_close(
        coordinates.encode_target(z).mean(0), torch.zeros(3).double(), rtol=0, atol=1e-8
    )


def test_the_identity_there_is_the_gaussian_map_here() -> None:
    x, z = ordinary(n=4000)
    coordinates = MAKERS["gaussian"](x, z)
    matrix = gaussian_map(fit_gaussian(x), fit_gaussian(z))
    moved = coordinates.decode_target(coordinates.encode_source(x))
    torch.testing.assert_close(
        moved, z.mean(0) + (x - x.mean(0)) @ matrix, rtol=0, atol=1e-6
    )


# ---- plain coordinates


@ALL_SAMPLES
def test_plain_coordinates_keep_the_identity(samples: Pair) -> None:
    coordinates = MAKERS["plain"](*samples)
    for points in samples:
        torch.testing.assert_close(
            coordinates.encode_source(points),
            coordinates.encode_target(points),
            rtol=0,
            atol=0,
        )
        there = coordinates.decode_target(coordinates.encode_source(points))
        torch.testing.assert_close(
            (there - points) / coordinates.unit,
            torch.zeros_like(points),
            rtol=0,
            atol=1e-7,
        )


def test_plain_coordinates_scale_the_spread_to_one() -> None:
    x, z = ordinary(offset=5.0, scale=30.0)
    coordinates = MAKERS["plain"](x, z)
    squares = [coordinates.encode_source(points).square().mean() for points in (x, z)]
    assert sum(squares) / 2 == pytest.approx(1.0)


# ---- dual values in the units of the data


def affine_inside(coordinates: Coordinates, matrix: Tensor, shift: Tensor) -> Quadratic:
    """The potential in the coordinates of the map that is M a + c between (x - m0)/s and (z - m1)/s."""
    basis = coordinates.basis
    return Quadratic(len(shift), basis.mT @ matrix @ basis, shift @ basis, eps=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "plain", "identity"])
@pytest.mark.parametrize(
    ("offset", "apart", "scale"),
    [
        (0.0, 0.0, 1.0),
        (1e6, 0.0, 1.0),
        (0.0, 1e6, 1.0),
        (1e6, 1.0, 1e-3),
        (0.0, 1.0, 1e6),
    ],
    ids=["ordinary", "far from the origin", "far apart", "far and small", "large"],
)
def test_dual_terms_add_up_to_the_distance_of_gaussians(
    kind: str, offset: float, apart: float, scale: float
) -> None:
    """E phi + E phi^c at the optimal map is W2^2/2 in closed form, however the coordinates are chosen."""
    source = Gaussian(
        offset + normal(3), scale**2 * positive_definite(3, condition=5.0)
    )
    target = Gaussian(
        offset + apart + normal(3, seed=1),
        scale**2 * positive_definite(3, condition=8.0, seed=2),
    )
    x, z = with_moments(50, *source), with_moments(60, *target, seed=1)
    coordinates = MAKERS[kind](x, z)
    matrix, unit = gaussian_map(source, target), float(coordinates.unit[0])
    shift = (
        target.mean
        - coordinates.target_mean
        - (source.mean - coordinates.source_mean) @ matrix
    ) / unit
    transport = TransportMap(
        affine_inside(coordinates, matrix, shift),
        coordinates,
        method=NewtonCG(),
        tol=1e-8,
    )
    phi, phi_c, solution = transport.dual_terms(x, z)
    solution.check()
    distance = float(
        ot.gaussian.bures_wasserstein_distance(
            source[0], target[0], source[1], target[1]
        )
    )
    found = unit**2 * float(phi.mean() + phi_c.mean())
    # In the coordinates of the data themselves nothing is centred, and squares of 1e6 eat ten digits of sixteen.
    slack = 1e-3 if kind == "identity" and offset else 0.0
    assert found == pytest.approx(distance**2 / 2, rel=1e-8, abs=slack)


@EVERY
def test_dual_terms_bound_the_cost_of_every_pair_and_meet_it_at_the_map(
    make: Callable[[Tensor, Tensor], Coordinates],
) -> None:
    x, z = ordinary(offset=3.0)
    coordinates = make(x, z)
    potential = affine_inside(
        coordinates, positive_definite(3, condition=4.0), normal(3)
    )
    transport = TransportMap(potential, coordinates, method=NewtonCG(), tol=1e-11)
    phi, phi_c, _ = transport.dual_terms(x, z)
    pairs = torch.stack([coordinates.cost(x, row.expand_as(x)) for row in z], 1)
    assert (phi.unsqueeze(1) + phi_c <= pairs + 1e-11).all()
    phi, phi_c, _ = transport.dual_terms(x, transport(x))
    torch.testing.assert_close(
        phi + phi_c, coordinates.cost(x, transport(x)), rtol=1e-9, atol=1e-10
    )


def test_dual_terms_do_not_depend_on_the_coordinates_but_for_a_constant() -> None:
    x, z = ordinary()
    matrix, shift, terms = positive_definite(3, condition=4.0), normal(3), []
    for name in ("gaussian", "plain", "identity"):
        coordinates = MAKERS[name](x, z)
        unit = float(coordinates.unit[0])
        inside = (
            coordinates.source_mean @ matrix + shift - coordinates.target_mean
        ) / unit
        transport = TransportMap(
            affine_inside(coordinates, matrix, inside),
            coordinates,
            method=NewtonCG(),
            tol=1e-11,
        )
        phi, phi_c, _ = transport.dual_terms(x, z)
        terms.append((unit**2 * (phi - phi.mean()), unit**2 * (phi_c - phi_c.mean())))
    for phi, phi_c in terms[1:]:
        torch.testing.assert_close(phi, terms[0][0], rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(phi_c, terms[0][1], rtol=1e-8, atol=1e-9)


def test_sides_on_very_different_scales_keep_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    x, z = (
        torch.randn(500, 2, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    x = 1e6 * x
    coordinates = gaussian_coordinates(x, z, feature_units(x, z, "common")[0])
    moved = coordinates.decode_target(coordinates.encode_source(x))
    torch.testing.assert_close(moved.std(), z.std(), rtol=0.02, atol=0)
