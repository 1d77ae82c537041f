"""Batches of classes: every class with its share of rows, each in the coordinates and with the embedding of its own."""

from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import OptimalTransport
from brenier.datasets import Rows
from brenier.estimators.class_draw import ClassDraw, class_points
from brenier.estimators.options import Options
from brenier.estimators.parameters import Parameters
from brenier.statistics import Weighted, moments, rows_of
from brenier.transport.coordinates import (
    Classes,
    aligned_coordinates,
    regularised_pair,
)

SIZES = (30, 120, 270)
D, E = 2, len(SIZES)


def side(shift: float = 0.0) -> list[Tensor]:
    """Rows of three classes, far apart."""
    return [normal(n, D, seed=k) + 10 * k + shift for k, n in enumerate(SIZES)]


def classes() -> Classes:
    """The coordinates of the classes."""
    pairs = [
        regularised_pair(moments([x]), moments([z]))
        for x, z in zip(side(), side(3.0), strict=True)
    ]
    unit = torch.ones(D, dtype=torch.float64)
    return Classes(("a", "b", "c"), aligned_coordinates(pairs, unit))


def options(**parameters: Any) -> Options:
    """What a fit is told."""
    told = OptimalTransport(dtype="float64", **parameters).get_params(deep=False)
    rows = Rows(side()[0], "X")
    return Parameters(**told).options(rows, rows, None)


def draw(
    target: bool = False, shares: tuple[float, ...] = (1.0, 2.0, 3.0)
) -> ClassDraw:
    """Batches of one side."""
    rows = [Rows(part, "X") for part in side(3.0 if target else 0.0)]
    return ClassDraw(rows, torch.tensor(shares), classes(), target, options())


def class_of(points: Tensor) -> Tensor:
    """The class of conditioned points, by their embeddings."""
    return points[:, D:].argmax(-1)


def decoded(points: Tensor, target: bool) -> Tensor:
    """Conditioned points in the units of the data."""
    coordinates = classes().side(class_of(points))
    return (
        coordinates.decode_target(points)
        if target
        else coordinates.decode_source(points)
    )


@pytest.mark.parametrize("target", [False, True], ids=["source", "target"])
def test_points_are_rows_of_their_class(target: bool) -> None:
    drawn = draw(target)(240, torch.Generator().manual_seed(0))
    assert drawn.shape == (240, D + E)
    back = decoded(drawn, target)
    for k, rows in enumerate(side(3.0 if target else 0.0)):
        own = back[class_of(drawn) == k]
        assert torch.cdist(own, rows).amin(1).max() < 1e-6


@pytest.mark.parametrize(
    ("shares", "counts"),
    [((1, 2, 3), (40, 80, 120)), ((1, 1, 1), (80, 80, 80)), ((0, 1, 0), (0, 240, 0))],
)
def test_every_class_has_its_share(
    shares: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    for seed in range(5):
        drawn = draw(shares=shares)(240, torch.Generator().manual_seed(seed))
        found = class_of(drawn).bincount(minlength=3)
        assert (found - torch.tensor(counts)).abs().max() <= 1


def test_shares_are_right_on_average_where_they_are_not_whole() -> None:
    generator, one = torch.Generator().manual_seed(0), draw()
    found = sum(
        class_of(one.rows(4, generator)).bincount(minlength=3) for _ in range(999)
    )
    expected = 4 * 999 * torch.tensor([1.0, 2.0, 3.0]) / 6
    assert (torch.as_tensor(found) - expected).abs().max() < 150


def test_both_sides_of_a_batch_hold_classes_alike() -> None:
    for n in (7, 100):
        counts = [
            class_of(draw(target)(n, torch.Generator().manual_seed(3))).bincount(
                minlength=3
            )
            for target in (False, True)
        ]
        assert torch.equal(*counts)


def test_classes_come_in_random_order() -> None:
    found = class_of(draw()(240, torch.Generator().manual_seed(0)))
    assert not torch.equal(found, found.sort().values)
    assert (found[:120].bincount(minlength=3) > 5).all()


def test_all_rows_of_a_class_are_drawn_alike() -> None:
    generator, one = torch.Generator().manual_seed(0), draw(shares=(1.0, 0.0, 0.0))
    drawn = torch.cat([decoded(one(300, generator), False) for _ in range(100)])
    counts = torch.cdist(drawn, side()[0]).argmin(1).bincount(minlength=30).double()
    assert counts.min() > 0
    assert (counts - counts.mean()).abs().max() < 5 * counts.mean() ** 0.5


def test_a_batch_has_at_most_as_many_rows_as_there_are() -> None:
    one, generator = draw(), torch.Generator().manual_seed(0)
    assert one.size == sum(SIZES)
    assert len(one(10**6, generator)) == sum(SIZES)
    assert len(one.rows(1000, generator)) == 1000


def test_rows_that_serve_all_classes_are_encoded_when_drawn() -> None:
    shared = Rows(side()[1], "X")
    one = ClassDraw([shared] * 3, torch.ones(3), classes(), False, options())
    assert one.encoded is None
    drawn = one(90, torch.Generator().manual_seed(0))
    assert class_of(drawn).bincount().tolist() == [30, 30, 30]
    assert torch.cdist(decoded(drawn, False), side()[1]).amin(1).max() < 1e-6


def test_one_seed_gives_one_batch() -> None:
    first, second, other = (
        draw()(50, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_all_rows_as_points() -> None:
    pairs = [(Weighted(x), Weighted(z)) for x, z in zip(side(), side(3.0), strict=True)]
    source, target = rows_of(class_points(pairs, classes(), options()))
    assert source.shape == target.shape == (sum(SIZES), D + E)
    assert class_of(source).bincount().tolist() == list(SIZES)
    torch.testing.assert_close(decoded(source, False), torch.cat(side()))
    torch.testing.assert_close(decoded(target, True), torch.cat(side(3.0)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_points_have_the_precision_of_the_network(dtype: str) -> None:
    told = OptimalTransport(dtype=dtype).get_params(deep=False)
    rows = Rows(side()[0], "X")
    own = Parameters(**told).options(rows, rows, None)
    pairs = [(Weighted(x), Weighted(z)) for x, z in zip(side(), side(3.0), strict=True)]
    source, _ = class_points(pairs, classes(), own)
    assert source.rows.dtype == getattr(torch, dtype)
