"""Seconds gone, by a time that the test tells."""

from brenier.training import Clock


def test_seconds_count_from_the_making_and_those_before() -> None:
    moments = iter([100.0, 107.0, 110.0])
    clock = Clock(lambda: next(moments))
    assert clock.gone() == 7.0
    clock.before = 30.0
    assert clock.gone() == 40.0


def test_the_wall_clock_goes_on() -> None:
    clock = Clock()
    assert 0 <= clock.gone() <= clock.gone()
