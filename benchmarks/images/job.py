"""Fashion-MNIST to MNIST with the class kept, through two autoencoders: what transport adds beyond the decoder.

    BRENIER_DATA=... python -m benchmarks.images --folder runs/images            # the quick setting, an hour
    BRENIER_DATA=... python -m benchmarks.images --setting paper --device cuda   # the published one, for a GPU

Stages: the classifier, both autoencoders, the latents of their images, then every method of `images/methods.py`, fitted
to the latents of training images and evaluated on those of test images by `images/judge.py`. Stages write files to
`--folder` after every epoch; the same command resumes them. Fashion class k becomes digit k. Rivals of
`images/rivals.py` are fitted to the same latents. Methods named "pixels: ..." and "quoted: ..." are of the pixel
version (`images/pixels.py`), which needs no autoencoder: `--methods pixels quoted` runs these alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
    flag,
    ratio,
)
from benchmarks.images import pixels
from benchmarks.images.judge import (
    contact_sheet,
    judge_images,
    judge_latents,
    squared_distance,
)
from benchmarks.images.methods import METHODS, Method, Moved
from benchmarks.images.networks import (
    CLASSES,
    SETTINGS,
    SIDE,
    Autoencoder,
    Classifier,
    Setting,
)
from benchmarks.images.rivals import RIVALS
from benchmarks.images.stages import (
    SOURCE,
    TARGET,
    ImageSet,
    autoencoder,
    classifier,
    in_parts,
    latents,
)
from benchmarks.labelled import stored_numbers

QUICK = 600  # images of a trial
TRIAL = Setting(
    channels=(16, 16, 16, 16),
    blocks=0,
    epochs=1,
    rate=2e-3,
    plateau=False,
    batch=64,
    warm=1,
    classifier_epochs=1,
    transport={"max_steps": 20},
    preset_steps=3,
    preset_seconds=60.0,
    rival_seconds=1.0,
    pixel_epochs=1,
)
DISTANCE = "squared distance"  # a row on the latents, not on a method
ON_LATENTS: dict[str, Method] = {**METHODS, **RIVALS}
GROUPS = {  # words for many methods at once
    "rivals": tuple(RIVALS),
    "pixels": pixels.MEASURED,
    "quoted": tuple(pixels.QUOTED),
}


class Job:
    """Everything before the transport, and what methods are fitted to and evaluated by."""

    names: ClassVar[tuple[str, ...]] = (*ON_LATENTS, DISTANCE)

    def __init__(
        self, setting: Setting, folder: Path, device: str, most: int | None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.setting, self.folder, self.device = setting, folder, device
        self.images = {name: ImageSet.read(name, most) for name in (SOURCE, TARGET)}
        self.classifier: Classifier = classifier(
            self.images[TARGET], setting, folder, device
        )
        self.encoders: dict[str, Autoencoder] = {
            name: autoencoder(name, images, setting, folder, device)
            for name, images in self.images.items()
        }
        self.latents = {
            name: [
                (latents(self.encoders[name], part, device), part[1])
                for part in (images.train, images.test)
            ]
            for name, images in self.images.items()
        }
        real, labels = self.images[TARGET].test
        right = in_parts(self.classifier, real, device=device).argmax(1) == labels
        self.judge_accuracy = 100 * float(right.double().mean())

    def measure(self, name: str, seed: int) -> dict[str, Any]:
        """Fit and evaluate one method, or return the squared distance that costs are to be compared with."""
        (source, test), (target, held_out) = self.latents[SOURCE], self.latents[TARGET]
        if name == DISTANCE:
            return squared_distance(test, held_out, seed)
        moved = ON_LATENTS[name](source, target, test, self.setting, seed)
        decoder, real = self.encoders[TARGET], self.images[TARGET].test[0]
        numbers = judge_images(
            moved, test[1], decoder, self.classifier, real, self.device
        )
        if name == "default" and seed == 0:
            self._draw(moved)
        facts: dict[str, Any] = {"judge_accuracy": self.judge_accuracy}
        if moved.transport is not None:
            facts["parameters"] = stored_numbers(moved.transport)
        return numbers | judge_latents(moved, test, held_out) | moved.facts | facts

    def _draw(self, moved: Moved) -> None:
        """Write the contact sheet: per class a source image, the way to the moved one, and the nearest real target."""
        (_, test), (target, _) = self.latents[SOURCE], self.latents[TARGET]
        decoders = self.encoders
        first = torch.tensor([int((test[1] == k).nonzero()[0]) for k in range(CLASSES)])
        labels, x, z = test[1][first], test[0][first], moved.latents[first]
        columns = [self.images[SOURCE].test[0][first]]
        for t in (0.0, 0.25, 0.5, 0.75, 1.0):
            between = torch.lerp(x, z, t).float()
            columns.append(
                in_parts(decoders[TARGET].decode, between, labels, device=self.device)
            )
        nearest = []
        for k in range(CLASSES):
            mine = (target[1] == k).nonzero().squeeze(-1)
            nearest.append(
                int(mine[torch.cdist(z[k : k + 1], target[0][mine]).argmin()])
            )
        columns.append(self.images[TARGET].train[0][nearest])
        contact_sheet(self.folder / "contact-sheet.png", columns, SIDE)


def problems(flags: Flags) -> Iterator[Choice]:
    """Make what is asked for alone: the pixel version needs no autoencoder."""
    kinds: dict[str, type[Job] | type[pixels.PixelJob]] = {
        "": Job,
        " on pixels": pixels.PixelJob,
    }
    for suffix, kind in kinds.items():
        if not set(wanted(flags)) & set(kind.names):
            continue
        name = f"Fashion-MNIST to MNIST{suffix}, {flags.setting}"
        if flags.quick:
            job = kind(TRIAL, flags.results / "stages", flags.device, QUICK)
        else:
            setting, folder = SETTINGS[flags.setting], flags.folder / flags.setting
            job = kind(setting, folder, flags.device, None)
        yield Choice(name, job)


def wanted(flags: Flags) -> list[str]:
    """Return the names of the methods asked for, groups spelt out."""
    return [one for name in flags.methods for one in GROUPS.get(name, (name,))]


def methods(flags: Flags, job: Job | pixels.PixelJob) -> Iterator[Choice]:
    for name in wanted(flags):
        if name in job.names:
            yield Choice(name, name)


def measure(
    job: Job | pixels.PixelJob, name: str, seed: int, flags: Flags
) -> dict[str, Any]:
    return job.measure(name, seed)


MOVED = Table(
    "images",
    "images",
    (
        Column("accuracy % (≥ 96)", "accuracy", ".2f"),
        Column("FID, classifier's features", "fid", ".2f"),
        Column("FID, Inception", "fid_inception", ".2f"),
        Column("Sinkhorn divergence of latents", "sinkhorn", ".4f"),
        Column("worst class", "sinkhorn_worst", ".4f"),
        Column("MMD²", "mmd", ".5f"),
        Column("cost", "cost", ".2f"),
        Column("over the map's own dual value", ratio("cost", "dual_cost"), ".3f"),
        Column("round trip", "round_trip", ".1e", max),
        Column("unconverged", "unconverged", ".0f", max),
        Column("labels seen", "labels"),
        Column("numbers stored", "parameters", ",.0f"),
        Column("steps", "steps", ",.0f"),
        Column("seconds of fitting", "fit_seconds", ".0f"),
        Column("classifier on real digits %", "judge_accuracy", ".2f"),
    ),
    lambda row: row.method in ON_LATENTS,
)
DISTANCES = Table(
    "images-distance",
    "images",
    (
        Column("exact plan's cost", "full", ".2f"),
        Column("with half the rows", "half", ".2f"),
        Column("corrected by halving", "corrected", ".2f"),
        Column("debiased", "debiased", ".2f"),
    ),
    lambda row: row.method == DISTANCE,
)
VARIANTS = ("single", "several", "convex", "normal", *RIVALS)  # on the page alone
SHORT = MOVED.short(
    lambda row: row.method in METHODS and row.method not in VARIANTS,
    "accuracy % (≥ 96)",
    "FID, classifier's features",
    "Sinkhorn divergence of latents",
    "cost",
)
BENCHMARK = Benchmark(
    "images",
    __doc__,
    problems,
    methods,
    measure,
    (MOVED, pixels.TABLE, DISTANCES, SHORT),
    Arguments(
        (
            flag("--setting", choices=tuple(SETTINGS), default="quick"),
            flag(
                "--folder",
                type=Path,
                default=Path("runs/images"),
                help="of stages (default runs/images)",
            ),
            flag("--device", default="cpu"),
            choices(
                "--methods",
                (*ON_LATENTS, DISTANCE, *pixels.NAMES, *GROUPS),
                (*ON_LATENTS, DISTANCE, *pixels.NAMES),
            ),
        )
    ),
)
main = BENCHMARK.main
