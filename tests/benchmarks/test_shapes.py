"""Shapes: fresh rows of the target are as near as can be, rows that did not move are far away."""

import pytest

from benchmarks import shapes
from brenier.datasets import SHAPES

SAMPLED = shapes.Sampled(SHAPES["moons to circles"], 200)


@pytest.fixture(scope="module")
def flags():
    arguments = ["--quick", "--shapes", "moons to circles"]
    return shapes.ARGUMENTS.parse(None, arguments)


def test_fresh_rows_are_all_different(flags) -> None:
    fresh = shapes.fresh_rows(SAMPLED.pair, flags.points, seed=0)
    floor = shapes.distances(fresh.other_target, fresh.other_source, fresh)
    assert floor == shapes.measure(SAMPLED, "target", 0, flags)
    assert all(0 < abs(value) < 0.1 for value in floor.values())
    unmoved = shapes.distances(fresh.source, fresh.target, fresh)
    for name in floor:
        assert unmoved[name] > 5 * abs(floor[name])


@pytest.mark.parametrize("name", ["exact", "entropic"])
def test_discrete_maps_come_near_both_ways(name, flags) -> None:
    found = shapes.measure(SAMPLED, name, 0, flags)
    unmoved = shapes.fresh_rows(SAMPLED.pair, flags.points, seed=0)
    start = shapes.distances(unmoved.source, unmoved.target, unmoved)
    for side in ("forward", "backward"):
        assert found[f"{side}_energy"] < 0.1 * start[f"{side}_energy"]
        assert found[f"{side}_sliced"] < 0.3 * start[f"{side}_sliced"]


def test_every_method_has_a_line_of_its_own(flags) -> None:
    names = [choice.name for choice in shapes.methods(flags, SAMPLED)]
    assert len(set(names)) == len(names) == len(shapes.METHODS)
    assert "default, 2 s" in names
