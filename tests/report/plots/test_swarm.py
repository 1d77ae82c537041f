"""Paths of agents, still and moving, whatever they are."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from report.plots.drawn import check_drawn

from brenier.report import plots
from brenier.report.plots.swarm import SWARM, Paths

pytestmark = pytest.mark.filterwarnings("error")


def paths(times: int, agents: int, axes: int, targets: bool = True) -> Paths:
    """Agents that walk at random."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(times, agents, axes)).cumsum(0)
    ends = rng.normal(size=(agents, axes)) if targets else None
    return Paths(np.linspace(0, 2, times), places, ends, f"Paths of {agents} agents")


@pytest.mark.parametrize("agents", [1, 25])
@pytest.mark.parametrize("axes", [2, 3])
def test_paths_are_drawn(agents: int, axes: int, tmp_path: Path) -> None:
    plots.paths_picture(paths(20, agents, axes, agents > 1), tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


def test_agents_that_stay_where_they_are_are_drawn(tmp_path: Path) -> None:
    still = paths(4, 2, 2)._replace(places=np.ones((4, 2, 2)), targets=None)
    plots.paths_picture(still, tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


@pytest.mark.parametrize(("axes", "times"), [(2, 80), (3, 4)])
def test_the_moving_picture_moves_and_rests(
    axes: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dataclasses.replace(SWARM, frames=6)
    monkeypatch.setattr("brenier.report.plots.swarm.SWARM", few)
    plots.animation(paths(times, 3, axes), tmp_path / "a.gif")
    durations, pictures = [], []
    with Image.open(tmp_path / "a.gif") as image:
        assert image.format == "GIF"
        assert image.info["loop"] == 0
        for frame in ImageSequence.Iterator(image):
            durations.append(frame.info["duration"])
            pictures.append(np.asarray(frame.convert("RGB")))
    assert len(pictures) == min(times, 6)
    assert durations[-1] > durations[0]
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))
    assert (pictures[0][0, 0] == 255).all()
    assert (tmp_path / "a.gif").stat().st_size < 2e6


def test_a_picture_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        plots.animation(paths(2, 1, 2), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
