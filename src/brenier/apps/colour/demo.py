"""The demonstration: one photograph in the colours of another, and back, from one potential.

The pagoda takes the dahlia's palette in Oklab at evenness 0.8: hazy daylight turns into a warm evening under one sky,
while the other direction makes a duller picture (it is what the inverse shows), other spaces clip more, and counting
every pixel alike tears the sky into teal and orange. The potential is convex, so that colours cannot fold over each
other; a free one pulls neighbouring pixels of the inverse further apart.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_images

from brenier.apps.colour.images import write_photo
from brenier.apps.colour.job import CONTACT_SHEET, ColourJob, one_thread
from brenier.apps.colour.palette import Picture
from brenier.apps.colour.photo import Photo, pillow
from brenier.apps.colour.sheet import Panel
from brenier.estimators import OptimalTransport
from brenier.report import Section, settings_section


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much work the demonstration does.

    Attributes:
        n: colours drawn from either photograph.
        max_steps: training steps.
        reported: colours that the report looks at.
        stride: every how many-th pixel of the photographs is used, in either direction.
    """

    n: int
    max_steps: int
    reported: int
    stride: int


FULL = Effort(n=40_000, max_steps=1000, reported=8192, stride=1)
QUICK = Effort(n=8_000, max_steps=100, reported=500, stride=2)


@one_thread()
def demo(out: Path, *, quick: bool = False, quiet: bool = False) -> int:
    """Learn the map between the colours of scikit-learn's two photographs; write pictures and a report into a folder.

    Args:
        out: the folder, made where there is none.
        quick: whether to do a tenth of the training on small pictures, to see that everything works.
        quiet: whether to leave out the progress bar.
    """
    pillow("Image")  # before anything is made
    began, effort = time.perf_counter(), QUICK if quick else FULL
    out.mkdir(parents=True, exist_ok=True)
    pagoda, dahlia = _photographs(effort.stride)
    write_photo(out / "pagoda.png", pagoda, pagoda.pixels)
    write_photo(out / "dahlia.png", dahlia, dahlia.pixels)
    job = ColourJob(pagoda, dahlia)
    ot = job.fit(effort.max_steps, effort.n, verbose=not quiet)
    ot.save(out / "model")
    pictures = _pictures(out, job, ot)
    seconds = time.perf_counter() - began
    page = job.report(
        out,
        "The pagoda in the colours of the dahlia",
        ot,
        pictures,
        _panels(job, pictures),
        columns=3,
        n=effort.reported,
        extra=[_job_section(job, effort, seconds)],
    )
    print(ot.map_.distance().statement())
    for picture in pictures:
        print(picture.statement())
    seconds = time.perf_counter() - began
    print(f"{seconds:.0f} s. Look at {out / CONTACT_SHEET}, then read {page}.")
    return 0


def _photographs(stride: int) -> tuple[Photo, Photo]:
    """Return the pagoda and the dahlia that scikit-learn brings along, every `stride`-th pixel in either direction."""
    found = load_sample_images()
    by_name = {}
    for name, image in zip(found.filenames, found.images, strict=True):
        by_name[Path(name).stem] = np.asarray(image)[::stride, ::stride]
    return Photo(by_name["china"]), Photo(by_name["flower"])


def _pictures(out: Path, job: ColourJob, ot: OptimalTransport) -> list[Picture]:
    """Grade and write the pictures: half way and the whole way, in both directions."""
    pictures = [
        job.grade(ot, out / "halfway.png", 0.5),
        job.grade(ot, out / "graded.png"),
        job.grade_back(ot, out / "halfway-back.png", 0.5),
        job.grade_back(ot, out / "inverse.png"),
    ]
    for picture in pictures:
        picture.write()
    return pictures


def _panels(job: ColourJob, pictures: list[Picture]) -> list[Panel]:
    """Return the panels of the contact sheet: one row for each direction."""
    halfway, graded, halfway_back, inverse = (picture.after for picture in pictures)
    return [
        ("the photograph, x", job.source),
        ("half way, (x + T(x))/2", halfway),
        ("in the palette's colours, T(x)", graded),
        ("the palette, z", job.target),
        ("half way back", halfway_back),
        ("in the photograph's colours, the inverse of T at z", inverse),
    ]


def _job_section(job: ColourJob, effort: Effort, seconds: float) -> Section:
    """Return the section that says how the pictures were made."""
    settings = {
        "colour space": job.space,
        "evenness of the palettes": job.evenness,
        "colours drawn per photograph": effort.n,
        "seconds, pictures included": round(seconds, 1),
    }
    return settings_section(settings, heading="The job")
