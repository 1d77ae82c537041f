"""Frames: there and back, units, and numbers that are too large."""

import pytest
import torch

from brenier import DataError
from brenier.baselines.model import MapFrame


@pytest.mark.parametrize("make", [MapFrame.common, MapFrame.standard])
def test_frames_go_there_and_back(make: object, generator: torch.Generator) -> None:
    x = torch.randn(50, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.1]) + 7
    z = torch.randn(40, 3, generator=generator) - 2
    frame: MapFrame = make(x, z)  # type: ignore[operator]
    u, w = frame.from_source(x.double()), frame.from_target(z.double())
    torch.testing.assert_close(frame.to_source(u), x.double())
    torch.testing.assert_close(frame.to_target(w), z.double())
    torch.testing.assert_close(
        u.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-10, rtol=0
    )
    both = torch.cat([u, w])
    torch.testing.assert_close(float(both.square().mean()), 1.0, atol=0.05, rtol=0)


def test_the_common_frame_has_one_scale(generator: torch.Generator) -> None:
    x = torch.randn(50, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.1])
    frame = MapFrame.common(x, 3 * x + 1)
    assert len(set(frame.source_scale.tolist() + frame.target_scale.tolist())) == 1


def test_the_frame_of_the_data_changes_nothing(generator: torch.Generator) -> None:
    x = torch.randn(5, 3, generator=generator)
    frame = MapFrame.of_data(3, x.device)
    assert torch.equal(frame.from_source(x), x.double())
    assert torch.equal(frame.to_target(x), x.double())


def test_sides_that_do_not_vary_have_a_frame() -> None:
    x = torch.ones(5, 2)
    for frame in (
        MapFrame.common(x, x),
        MapFrame.common(x, x + 2),
        MapFrame.standard(x, x),
    ):
        frame.check()


def test_numbers_that_overflow_are_refused() -> None:
    x = 1e300 * torch.eye(2, dtype=torch.float64)
    with pytest.raises(DataError, match="X, Y: hold numbers so large"):
        MapFrame.common(x, -x).check()
