"""The same task on pixels, with the measures of the published tables and what formulas without learning reach in them.

Images are 32 x 32, resized bilinearly, in [0, 1]. A method moves all test images of the source, and is measured by

accuracy            of a classifier trained here on real digits of that size, in percent
pixel Frechet       |m0 - m1|^2 + tr(S0 + S1 - 2 (S0^{1/2} S1 S0^{1/2})^{1/2}) between the 1,024 raw pixels of moved
                    images and of real test digits: what tables of this task call FID, without any Inception features

Means, covariances and maps between Gaussian fits are enough for both. Rows that are *quoted* were published by others
("Neural Optimal Transport with General Cost Functionals", Asadulaev et al., 2024, and the tables of "Fixed-Point Neural
Optimal Transport...", Park et al., 2026); their classifiers are not ours.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.harness import Column, Row, Table
from benchmarks.images.judge import frechet
from benchmarks.images.networks import CLASSES, SIDE, Setting
from benchmarks.images.stages import SOURCE, TARGET, ImageSet, classifier, in_parts
from brenier.datasets import image_set
from brenier.statistics import fit_gaussian, gaussian_map

PIXELS = SIDE * SIDE
Labelled = tuple[Tensor, Tensor]  # (n, 1024) and (n,)


class MovedImages(NamedTuple):
    """Images (n, 1024), their labels (n,), and how many numbers the method stores."""

    images: Tensor
    labels: Tensor
    parameters: int


class Sets(NamedTuple):
    """What a method is given: both training sets, and the test images of the source."""

    source: Labelled
    target: Labelled
    test: Labelled


PixelMethod = Callable[[Sets, torch.Generator], MovedImages]


class Quoted(NamedTuple):
    """What was published of a method.

    Attributes:
        accuracy: in percent, of another classifier.
        distance: the pixel Frechet distance; infinity where only "above 100" is told, None where it is not this one.
        other: a FID that is none of pixels: Inception's, or of features that are not told.
    """

    accuracy: float
    distance: float | None
    other: float | None = None


QUOTED: Mapping[str, Quoted] = {
    "quoted: MUNIT": Quoted(8.93, 7.91),
    "quoted: AugCycleGAN": Quoted(12.03, 26.35),
    "quoted: OTDD flow": Quoted(10.28, math.inf),
    "quoted: SinkhornLpL1": Quoted(10.67, math.inf),
    "quoted: NOT, W2": Quoted(10.96, 7.51),
    "quoted: NOT, weak": Quoted(8.02, 7.02),
    "quoted: FG, no noise": Quoted(82.79, 7.14),
    "quoted: FG, with noise": Quoted(83.72, 5.26),
    "quoted: characteristic flow": Quoted(83.42, None, 18.27),
    "quoted: this library's paper": Quoted(96.00, None, 4.57),
}


def identity(sets: Sets, generator: torch.Generator) -> MovedImages:
    return MovedImages(*sets.test, 0)


def one_linear_map(sets: Sets, generator: torch.Generator) -> MovedImages:
    """Move all images by the map between the Gaussian fits of both sets."""
    moved = linear(sets.source[0], sets.target[0], sets.test[0])
    return MovedImages(moved, sets.test[1], linear_size())


def linear_by_class(sets: Sets, generator: torch.Generator) -> MovedImages:
    """Move every class by the map between its Gaussian fits."""
    moved = torch.empty_like(sets.test[0])
    for k in range(CLASSES):
        rows = sets.test[1] == k
        moved[rows] = linear(
            of_class(sets.source, k), of_class(sets.target, k), sets.test[0][rows]
        )
    return MovedImages(moved, sets.test[1], CLASSES * linear_size())


def class_means(sets: Sets, generator: torch.Generator) -> MovedImages:
    means = torch.stack([of_class(sets.target, k).mean(0) for k in range(CLASSES)])
    return MovedImages(means[sets.test[1]], sets.test[1], CLASSES * PIXELS)


def real_of_class(sets: Sets, generator: torch.Generator) -> MovedImages:
    """Return a random real training image of the right class."""
    moved = torch.empty_like(sets.test[0])
    for k in range(CLASSES):
        rows, known = sets.test[1] == k, of_class(sets.target, k)
        index = torch.randint(len(known), (int(rows.sum()),), generator=generator)
        moved[rows] = known[index]
    return MovedImages(moved, sets.test[1], sets.target[0].numel())


def gaussian_noise(sets: Sets, generator: torch.Generator) -> MovedImages:
    """Return normal noise with the two moments of the target, whatever the source."""
    target = fit_gaussian(sets.target[0])
    root = torch.linalg.cholesky(target.covariance)
    noise = torch.randn(len(sets.test[0]), PIXELS, generator=generator).double()
    images = (target.mean + noise @ root.mT).float()
    return MovedImages(images, sets.test[1], linear_size())


def real_images(sets: Sets, generator: torch.Generator) -> MovedImages:
    """Return real training images of the target as they are: the noise floor."""
    index = torch.randperm(len(sets.target[0]), generator=generator)
    index = index[: len(sets.test[0])]
    return MovedImages(sets.target[0][index], sets.target[1][index], 0)


def linear(x: Tensor, z: Tensor, rows: Tensor) -> Tensor:
    """Return rows moved by the optimal map between the Gaussian fits of x and z."""
    first, second = (fit_gaussian(side) for side in (x, z))
    matrix = gaussian_map(first, second)
    return (second.mean + (rows.double() - first.mean) @ matrix).float()


def linear_size() -> int:
    """Return the numbers of an affine map: a symmetric matrix and two means."""
    return PIXELS * (PIXELS + 1) // 2 + 2 * PIXELS


def of_class(side: Labelled, k: int) -> Tensor:
    return side[0][side[1] == k]


PIXEL_METHODS: Mapping[str, PixelMethod] = {
    "pixels: identity": identity,
    "pixels: one linear map": one_linear_map,
    "pixels: linear by class": linear_by_class,
    "pixels: class means": class_means,
    "pixels: real image of the class": real_of_class,
    "pixels: normal noise, two moments": gaussian_noise,
    "pixels: real training images": real_images,
}
CLIPPED = {  # with the pixels of another one put back into [0, 1]
    f"{name}, clipped": name
    for name in ("pixels: one linear map", "pixels: linear by class")
}
MEASURED = (*PIXEL_METHODS, *CLIPPED)
NAMES = (*MEASURED, *QUOTED)


class PixelJob:
    """The images, and the classifier that judges.

    Args:
        setting: of the classifier.
        folder: of its stage.
        device: where it is trained.
        most: images of each part at most, or None.
    """

    names: ClassVar[tuple[str, ...]] = NAMES

    def __init__(
        self, setting: Setting, folder: Path, device: str, most: int | None
    ) -> None:
        self.device = device
        self.sets = {name: resized(name, most) for name in (SOURCE, TARGET)}
        epochs = min(setting.pixel_epochs, setting.classifier_epochs)
        short = dataclasses.replace(setting, classifier_epochs=epochs)
        place = folder / "pixels"
        place.mkdir(parents=True, exist_ok=True)
        self.classifier = classifier(self.sets[TARGET], short, place, device)
        self.judge_accuracy = self._accuracy(*self.sets[TARGET].test)
        self.found: dict[tuple[str, int], tuple[MovedImages, float]] = {}

    def measure(self, name: str, seed: int) -> dict[str, Any]:
        """Return what a method is worth, or what was published of one."""
        if name in QUOTED:
            told = QUOTED[name]
            numbers: dict[str, Any] = {
                "accuracy": told.accuracy,
                "other_fid": told.other,
            }
            if told.distance is not None:
                above = math.isinf(told.distance)
                numbers |= (
                    {"above_100": True} if above else {"pixel_frechet": told.distance}
                )
            return {k: v for k, v in numbers.items() if v is not None} | {
                "quoted": True
            }
        moved, seconds = self._moved(CLIPPED.get(name, name), seed)
        images = moved.images.view(-1, 1, SIDE, SIDE)
        if name in CLIPPED:
            images = images.clamp(0, 1)
        return {
            "accuracy": self._accuracy(images, moved.labels),
            "pixel_frechet": pixel_frechet(images, self.sets[TARGET].test[0]),
            "parameters": moved.parameters,
            "fit_seconds": seconds,
            "judge_accuracy": self.judge_accuracy,
        }

    def _moved(self, name: str, seed: int) -> tuple[MovedImages, float]:
        """Return what a method gives and its seconds; what was found once is kept."""
        if (name, seed) not in self.found:
            source, target = (self._flat(side.train) for side in self.sets.values())
            sets = Sets(source, target, self._flat(self.sets[SOURCE].test))
            began = time.perf_counter()
            moved = PIXEL_METHODS[name](sets, torch.Generator().manual_seed(seed))
            self.found[name, seed] = moved, time.perf_counter() - began
        return self.found[name, seed]

    def _accuracy(self, images: Tensor, labels: Tensor) -> float:
        found = in_parts(self.classifier, images, device=self.device).argmax(1)
        return 100 * float((found == labels).double().mean())

    def _flat(self, side: Labelled) -> Labelled:
        return side[0].flatten(1), side[1]


def resized(name: str, most: int | None = None) -> ImageSet:
    """Return a set of images, 28 x 28 resized bilinearly to 32 x 32, in [0, 1]; the first of each part."""
    found = image_set(name)
    parts = []
    for part in ("train", "test"):
        images = torch.from_numpy(found[f"x_{part}"][:most]).float().div(255)
        larger = functional.interpolate(
            images.unsqueeze(1), (SIDE, SIDE), mode="bilinear", align_corners=False
        )
        parts.append((larger, torch.from_numpy(found[f"y_{part}"][:most]).long()))
    return ImageSet(*parts)


def pixel_frechet(images: Tensor, real: Tensor) -> float:
    """Return the squared Frechet distance between Gaussian fits of raw pixels of images (n, ...) and (m, ...)."""
    return frechet(images.flatten(1), real.flatten(1))


def is_of_pixels(row: Row) -> bool:
    """Say whether a row is of this part."""
    return row.method in NAMES


def _distance(row: Row) -> float | str | None:
    """Return the pixel Frechet distance; of quoted rows only a bound may be known."""
    found: float | None = row.get("pixel_frechet")
    return "above 100" if row.get("above_100") else found


TABLE = Table(
    "images-pixels",
    "images",
    (
        Column("accuracy %", "accuracy", ".2f"),
        Column("pixel Fréchet distance", _distance, ".2f"),
        Column("FID of other features", "other_fid", ".2f"),
        Column("numbers stored", "parameters", ",.0f"),
        Column("seconds", "fit_seconds", ".1f"),
        Column("classifier on real digits %", "judge_accuracy", ".2f"),
        Column("quoted", "quoted"),
    ),
    is_of_pixels,
)
