"""The map between the palettes of two photographs, and the pictures it makes.

A palette is a photograph's colours with common ones held back: a pixel counts as the number of pixels in its cell of
colour space to the power -evenness. At evenness 0 every pixel counts alike, and a large plain area (a sky) must be torn
apart to fill a palette's many colours, which posterises it; at 1 every colour counts alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from brenier.apps.colour import (
    Banding,
    Graded,
    Photo,
    banding,
    grade,
    sample_pixels,
    write_photo,
)
from brenier.apps.colour.spaces import get_space
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.potentials import Potential
from brenier.report import Section, markdown_table
from brenier.transport.maps import TransportMap

Move: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.floating]]

EVENNESS = 0.8
CELLS = 40  # along the longest axis of the sRGB cube in the colour space
POOL = 4  # pixels looked at for every one that is drawn
READING = (
    "Clipped pixels left the sRGB gamut by more than half a level. The stretch is how far neighbouring pixels were "
    "pulled apart (99.9th percentile); about 2 is dither alone."
)


def colour_map(
    photo: Photo,
    palette: Photo,
    *,
    space: str = "oklab",
    seed: int = 0,
    evenness: float = EVENNESS,
    potential: str | Callable[[int, torch.Generator], Potential] = "convex",
    max_steps: int = 1000,
    n: int = 40_000,
    verbose: bool = False,
) -> OptimalTransport:
    """Return the fitted map from the colours of a photograph to those of a palette, points of a colour space.

    Args:
        photo, palette: photographs.
        space: a name in `brenier.apps.colour.SPACES`.
        seed: of the colours drawn and of training.
        evenness: in [0, 1], how far common colours are held back.
        potential, max_steps: as in `OptimalTransport`.
        n: colours drawn from either photograph.
        verbose: whether to show a progress bar.

    Raises:
        DataError: where the space is unknown, evenness outside [0, 1], or a photograph has no visible pixel.
    """
    x, z = (
        sample_palette(photo, n, seed, space, evenness),
        sample_palette(palette, n, seed + 1, space, evenness),
    )
    ot = OptimalTransport(
        potential, max_steps=max_steps, random_state=seed, verbose=verbose
    )
    return ot.fit(x, z)


def sample_palette(
    photo: Photo, n: int, seed: int, space: str, evenness: float
) -> NDArray[np.float32]:
    """Return n colours of a photograph in a colour space, common ones held back: (n, 3).

    Raises:
        DataError: as `colour_map`.
    """
    if not 0 <= evenness <= 1:
        raise DataError(
            f"evenness: is {evenness}; give 0 (every pixel counts alike) to 1 (every colour counts alike)"
        )
    if evenness == 0:
        return sample_pixels(photo, n, seed, space)
    pool = sample_pixels(photo, POOL * n, seed, space)
    width = max(float(np.ptp(_corners(space), axis=0).max()) / CELLS, 1e-6)
    cells = np.floor(pool / width).astype(np.int64)
    _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    weights = counts[cell.ravel()] ** -float(evenness)
    chosen = np.random.default_rng(seed).choice(len(pool), n, p=weights / weights.sum())
    return pool[chosen]


def towards(transport: TransportMap, t: float = 1.0) -> Move:
    """Return the move x -> (1 - t) x + t T(x) of colours (n, 3)."""
    return transport if t == 1 else lambda colours: transport.interpolate(colours, t)


def towards_back(transport: TransportMap, t: float = 1.0) -> Move:
    """Return the move z -> (1 - t) z + t T^{-1}(z) of colours (n, 3)."""
    return lambda colours: (
        colours + np.float32(t) * (transport.inverse(colours) - colours)
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A graded photograph and how it came out.

    Attributes:
        path: where it is, or is to be, written.
        before: the photograph.
        graded: its new pixels, and the share of them that was clipped.
        banding: distinct colours before and after, and the largest local stretch.
    """

    path: Path
    before: Photo
    graded: Graded
    banding: Banding

    @classmethod
    def of(cls, path: Path, photo: Photo, move: Move, space: str) -> Picture:
        """Grade a photograph by moving its colours, points of a colour space."""
        graded = grade(photo, move, space)
        return cls(path, photo, graded, banding(photo.pixels, graded.pixels))

    @property
    def after(self) -> Photo:
        """The graded photograph."""
        return self.before.with_pixels(self.graded.pixels)

    def write(self) -> None:
        """Write the graded photograph."""
        write_photo(self.path, self.before, self.graded.pixels)

    def facts(self) -> dict[str, str]:
        """Return what there is to know about the grade."""
        return {
            "clipped pixels": f"{self.graded.clipped_share:.2%}",
            "distinct colours": f"{self.banding.colours_before} -> {self.banding.colours_after}",
            "largest local stretch": f"{self.banding.stretch:.1f}",
        }

    def statement(self) -> str:
        """Return the facts on one line."""
        return f"{self.path}: " + ", ".join(
            f"{name} {value}" for name, value in self.facts().items()
        )


def pictures_section(pictures: Sequence[Picture], sheet: str) -> Section:
    """Return a report's section on graded pictures, below a contact sheet."""
    header = ["picture", *pictures[0].facts()]
    table = markdown_table(
        header, [[picture.path.name, *picture.facts().values()] for picture in pictures]
    )
    return Section("Pictures", f"![contact sheet]({sheet})\n\n{table}\n\n{READING}")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: steps on three features are too small to share, and on a busy machine each waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _corners(space: str) -> NDArray[np.floating]:
    """Return the corners of the sRGB cube in a colour space: (8, 3)."""
    corners = np.stack(
        np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0]), axis=-1
    ).reshape(-1, 3)
    return get_space(space).from_srgb(corners)
