"""Coordinates where one side does not vary in some directions."""

import torch
from problems import normal
from torch import Tensor

from brenier.statistics import moments
from brenier.transport.coordinates import (
    gaussian_coordinates,
    moment_coordinates,
    plain_coordinates,
    without_choice,
)

ONES = torch.ones(3, dtype=torch.float64)


def moved(x: Tensor, z: Tensor, new: Tensor) -> Tensor:
    """T(new) for the map between the Gaussian fits of two samples."""
    coordinates = gaussian_coordinates(x, z, ONES)
    return coordinates.decode_target(coordinates.encode_source(new))


def sides(n: int = 200) -> tuple[Tensor, Tensor]:
    mix = torch.tensor([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1]], dtype=torch.float64)
    return normal(n, 3), 1 + normal(n + 5, 3, seed=1) @ mix


def test_a_constant_target_is_reproduced_exactly() -> None:
    for value in (0.0, 0.1, -1e6, 1e-8):
        x, z = sides()
        z[:, 1] = value
        assert (moved(x, z, 10 * x)[:, 1] == value).all()
        x[:, 1] = 4.0
        assert (moved(x, z, 10 * normal(9, 3))[:, 1] == value).all()


def test_a_constant_target_is_reproduced_from_the_identity() -> None:
    x, z = sides()
    z[:, 1] = 0.1
    plain = without_choice(plain_coordinates(x, z, ONES), x, z)
    there = plain.decode_target(plain.encode_source(x))
    assert (there[:, 1] == 0.1).all()
    torch.testing.assert_close(there[:, ::2], x[:, ::2])


def test_a_target_in_which_a_feature_follows_from_another_is_reproduced() -> None:
    x, z = sides()
    z[:, 1] = 2 * z[:, 0] + 3
    there = moved(x, z, 5 * x)
    torch.testing.assert_close(there[:, 1], 2 * there[:, 0] + 3, rtol=0, atol=1e-12)


def test_new_rows_keep_their_differences_where_the_source_has_none() -> None:
    for n in (50, 5000):
        x, z = sides(n)
        x[:, 2] = 7.0
        new = x[:5] + torch.tensor([0, 0, 2.0]).double()
        step = moved(x, z, new) - moved(x, z, x[:5])
        assert ((step[:, 2] >= 2) & (step[:, 2] < 3)).all()


def test_the_gain_off_the_span_of_the_source_does_not_grow_with_its_rows() -> None:
    for n in (50, 5000):
        x, z = sides(n)
        x[:, 1] = 2 * x[:, 0]
        new = x[:5] + torch.tensor([0, 1.0, 0]).double()
        step = moved(x, z, new) - moved(x, z, x[:5])
        assert step.norm(dim=-1).max() < 2


def test_what_the_other_columns_tell_of_a_silent_one_is_kept() -> None:
    x, z = sides(5000)
    x[:, 1] = 0.0
    z[:, 1] = z[:, 0]
    there = moved(x, z, x)
    torch.testing.assert_close(there[:, 1], there[:, 0], rtol=0, atol=1e-6)


def test_points_are_moved_to_points() -> None:
    x, z = sides()
    point = torch.full((4, 3), 2.0).double()
    torch.testing.assert_close(moved(point, z, point), z.mean(0).expand(4, 3))
    assert (moved(x, point, x) == 2).all()
    assert (moved(point, 3 * point, point) == 6).all()


def test_few_rows_do_not_make_directions_constant() -> None:
    x, z = normal(3, 3), normal(3, 3, seed=1)
    found = gaussian_coordinates(x, z, ONES)
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(found.inverse @ found.basis, eye)


# ---- several pairs of sides


def pairs(constant: bool = False) -> list[tuple[Tensor, Tensor]]:
    """Sides of three pairs, each of a law of its own."""
    found = []
    for k in range(3):
        x, z = sides(60 + 20 * k)
        x, z = x * (1 + k), (z + k).flip(-1)
        if constant:
            x[:, 1], z[:, 1] = 4.0, 5.0
        found.append((x, z))
    return found


def test_pairs_that_are_not_pooled_have_the_affine_maps_of_their_own() -> None:
    for constant in (False, True):
        given = pairs(constant)
        found = [(moments(x, ONES), moments(z, ONES)) for x, z in given]
        together = moment_coordinates(found, ONES, pooled=False)
        for k, (x, z) in enumerate(given):
            own = together.pick(k)
            there = own.decode_target(own.encode_source(x))
            torch.testing.assert_close(there, moved(x, z, x), rtol=1e-9, atol=1e-9)
            assert torch.equal(own.scale, together.pick(0).scale)  # they share units


def test_pooled_pairs_borrow_from_each_other() -> None:
    given = pairs()
    found = [(moments(x, ONES), moments(z, ONES)) for x, z in given]
    pooled = moment_coordinates(found, ONES).pick(0)
    x, z = given[0]
    there = pooled.decode_target(pooled.encode_source(x))
    assert (there - moved(x, z, x)).abs().max() > 1e-3
