"""The measures of images on pixels against closed forms, and what the command runs."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.harness.rows import Row
from benchmarks.images import job, pixels
from benchmarks.images.pixels import PIXELS, Sets
from benchmarks.images.rivals import RIVALS
from benchmarks.labelled import fitted_rival
from brenier.baselines import BASELINES, Linear, LinearByClass


def test_the_pixel_distance_is_that_of_gaussians(generator: torch.Generator) -> None:
    images = torch.rand(500, 1, 4, 4, generator=generator)
    # Of a shift by m and a stretch by s about the mean: n m^2 + (s - 1)^2 tr S.
    mean = images.mean(0)
    other = mean + 3.0 * (images - mean) + 0.5
    variance = float(images.flatten(1).double().var(0).sum())
    truth = 16 * 0.25 + 4 * variance
    assert pixels.pixel_frechet(images, other) == pytest.approx(truth, rel=1e-5)
    assert pixels.pixel_frechet(images, images) == pytest.approx(0.0, abs=1e-5)


def sets(generator: torch.Generator) -> Sets:
    """Ten classes of images whose first pixel says which."""

    def side(n: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(n) % 10
        images = 0.1 * torch.rand(n, PIXELS, generator=generator)
        images[:, 0] = scale * labels / 10
        return images, labels

    return Sets(side(60, 1.0), side(70, -1.0), side(40, 1.0))


@pytest.mark.parametrize(
    "name", ["pixels: class means", "pixels: real image of the class"]
)
def test_images_of_a_class_come_from_that_class(
    name: str, generator: torch.Generator
) -> None:
    given = sets(generator)
    moved = pixels.PIXEL_METHODS[name](given, generator)
    torch.testing.assert_close(moved.images[:, 0], -given.test[1] / 10)
    assert torch.equal(moved.labels, given.test[1])


def test_linear_maps_bring_the_mean_to_that_of_the_target(
    generator: torch.Generator,
) -> None:
    scales = 1 + torch.arange(6.0)
    x = torch.rand(4000, 6, generator=generator) * scales
    z = torch.rand(5000, 6, generator=generator) ** 2 / scales + 1
    moved = pixels.linear(x, z, x)
    torch.testing.assert_close(moved.mean(0), z.mean(0))
    pushed, wanted = torch.cov(moved.mT), torch.cov(z.mT)
    assert float((pushed - wanted).norm() / wanted.norm()) < 0.03


def test_quoted_rows_are_no_measurements() -> None:
    found = pixels.PixelJob.__new__(pixels.PixelJob)
    for name in pixels.QUOTED:
        numbers = pixels.PixelJob.measure(found, name, 0)
        assert numbers["quoted"] is True
        assert not {"parameters", "fit_seconds"} & set(numbers)
    told = pixels.PixelJob.measure(found, "quoted: OTDD flow", 0)
    assert told["above_100"]
    assert "pixel_frechet" not in told
    paper = pixels.PixelJob.measure(found, "quoted: this library's paper", 0)
    assert "pixel_frechet" not in paper
    assert paper["other_fid"] == 4.57


def test_every_row_is_in_one_table() -> None:
    def row(name: str) -> Row:
        return Row("images", "a", name, 0, "ok", "", [], {}, {}, {})

    moved, distances = job.MOVED, job.DISTANCES
    for name in (*job.Job.names, *pixels.NAMES):
        shown = [table.where(row(name)) for table in (moved, pixels.TABLE, distances)]
        assert sum(shown) == 1, name
    assert not set(RIVALS) & set(job.METHODS)  # a rival would hide a control


def test_rivals_are_those_of_the_registry() -> None:
    assert {"gnot", "linear-by-class", "otdd-flow", "sinkhorn-lpl1"} <= set(RIVALS)
    assert set(RIVALS) - set(BASELINES) == {
        "gnot, ten labels a class",
        "gnot, with noise",
        "characteristic flow",
    }


def test_rivals_see_the_labels_that_they_take(generator: torch.Generator) -> None:
    labels = torch.arange(40) % 2
    x = torch.randn(40, 2, generator=generator)
    z = x + 4.0 * labels[:, None]
    found = fitted_rival(LinearByClass, {}, {"max_time": 1.0}, (x, labels), (z, labels))
    assert found.facts["labels"] == "yes"
    moved = found.moved(x, labels)
    torch.testing.assert_close(moved, z, atol=1e-3, rtol=1e-3)
    back = found.returned(z, labels)
    assert back is not None
    torch.testing.assert_close(back, x, atol=1e-3, rtol=1e-3)
    plain = fitted_rival(Linear, {}, {"random_state": 3}, (x, labels), (z, labels))
    assert plain.facts["labels"] == "none"
    assert plain.facts["parameters"] == 2 * 2 + 2 * 4


def test_methods_are_measured_where_they_belong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []

    class Fake:
        def __init__(self, *others: Any) -> None:
            made.append(type(self).__name__)

    class OnLatents(Fake):
        names = job.Job.names

    class OnPixels(Fake):
        names = pixels.PixelJob.names

    monkeypatch.setattr(job, "Job", OnLatents)
    monkeypatch.setattr(pixels, "PixelJob", OnPixels)
    for given, kinds in (
        (["quoted"], ["OnPixels"]),
        (["normal", "rivals"], ["OnLatents"]),
        (["normal", "pixels"], ["OnLatents", "OnPixels"]),
    ):
        made.clear()
        arguments = ["--methods", *given, "--folder", str(tmp_path)]
        flags = job.BENCHMARK.arguments.parse("", arguments)
        chosen = [
            choice.name
            for problem in job.problems(flags)
            for choice in job.methods(flags, problem.value)
        ]
        assert made == kinds
        assert sorted(chosen) == sorted(job.wanted(flags))
    assert math.isinf(pixels.QUOTED["quoted: OTDD flow"].distance or 0)
