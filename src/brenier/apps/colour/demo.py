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
import torch
from sklearn.datasets import load_sample_images

from brenier.apps.colour import Photo, contact_sheet, write_photo
from brenier.apps.colour.palette import (
    EVENNESS,
    Picture,
    colour_map,
    one_thread,
    pictures_section,
    sample_palette,
    towards,
    towards_back,
)
from brenier.estimators import OptimalTransport
from brenier.report import Section, fit_report, settings_section

SPACE, SEED = "oklab", 0
SHEET = "sheet.png"


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


FULL, QUICK = Effort(40_000, 1000, 8192, 1), Effort(8_000, 100, 500, 2)


@one_thread()
def demo(out: Path, *, quick: bool = False, quiet: bool = False) -> int:
    """Learn the map between the colours of scikit-learn's two photographs; write pictures and a report into a folder.

    Args:
        out: the folder, made where there is none.
        quick: whether to do a tenth of the training on small pictures, to see that everything works.
        quiet: whether to leave out the progress bar.
    """
    began, effort = time.perf_counter(), QUICK if quick else FULL
    out.mkdir(parents=True, exist_ok=True)
    pagoda, dahlia = _photographs(effort.stride)
    write_photo(out / "pagoda.png", pagoda, pagoda.pixels)
    write_photo(out / "dahlia.png", dahlia, dahlia.pixels)
    ot = colour_map(
        pagoda,
        dahlia,
        space=SPACE,
        seed=SEED,
        max_steps=effort.max_steps,
        n=effort.n,
        verbose=not quiet,
    )
    ot.save(out / "model")
    pictures = _pictures(out, pagoda, dahlia, ot)
    seconds = time.perf_counter() - began
    page = _report(out, pagoda, dahlia, ot, pictures, effort, seconds)
    print(ot.map_.distance().statement())
    for picture in pictures:
        print(picture.statement())
    print(
        f"{time.perf_counter() - began:.0f} s. Look at {out / SHEET}, then read {page}."
    )
    return 0


def _photographs(stride: int) -> tuple[Photo, Photo]:
    """Return the pagoda and the dahlia that scikit-learn brings along."""
    found = load_sample_images()
    by_name = {
        Path(name).stem: np.asarray(image)
        for name, image in zip(found.filenames, found.images, strict=True)
    }
    return Photo(by_name["china"][::stride, ::stride]), Photo(
        by_name["flower"][::stride, ::stride]
    )


def _pictures(
    out: Path, pagoda: Photo, dahlia: Photo, ot: OptimalTransport
) -> list[Picture]:
    """Grade and write the pictures, and a contact sheet of all."""
    pictures = [
        Picture.of(out / "halfway.png", pagoda, towards(ot.map_, 0.5), SPACE),
        Picture.of(out / "graded.png", pagoda, towards(ot.map_), SPACE),
        Picture.of(out / "halfway-back.png", dahlia, towards_back(ot.map_, 0.5), SPACE),
        Picture.of(out / "inverse.png", dahlia, towards_back(ot.map_), SPACE),
    ]
    for picture in pictures:
        picture.write()
    halfway, graded, halfway_back, inverse = (picture.after for picture in pictures)
    panels: list[tuple[str, Photo]] = [
        ("the photograph, x", pagoda),
        ("half way, (x + T(x))/2", halfway),
        ("in the palette's colours, T(x)", graded),
        ("the palette, z", dahlia),
        ("half way back", halfway_back),
        ("in the photograph's colours, the inverse of T at z", inverse),
    ]
    contact_sheet(panels, out / SHEET, columns=3)
    return pictures


def _report(
    out: Path,
    pagoda: Photo,
    dahlia: Photo,
    ot: OptimalTransport,
    pictures: list[Picture],
    effort: Effort,
    seconds: float,
) -> Path:
    """Write the report, on freshly drawn colours."""
    samples = [
        torch.tensor(sample_palette(photo, effort.reported, SEED + 2, SPACE, EVENNESS))
        for photo in (pagoda, dahlia)
    ]
    extra: list[Section] = [
        pictures_section(pictures, SHEET),
        settings_section(
            {
                "colour space": SPACE,
                "evenness of the palettes": EVENNESS,
                "colours drawn per photograph": effort.n,
                "seconds, pictures included": round(seconds, 1),
            },
            heading="The job",
        ),
    ]
    return fit_report(
        out,
        "The pagoda in the colours of the dahlia",
        ot,
        samples[0],
        samples[1],
        extra,
    )
