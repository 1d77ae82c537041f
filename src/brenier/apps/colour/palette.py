"""The map between the palettes of two photographs, and the pictures it makes.

A palette is a photograph's colours with common ones held back: a pixel counts as the number of pixels in its cell of
colour space to the power -evenness. At evenness 0 every pixel counts alike, and a large plain area (a sky) must be torn
apart to fill a palette's many colours, which posterises it; at 1 every colour counts alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brenier.apps.colour.grade import ColourMap, Graded, grade, sample_pixels
from brenier.apps.colour.images import write_photo
from brenier.apps.colour.photo import Photo
from brenier.apps.colour.quality import Banding, banding
from brenier.apps.colour.spaces import get_space
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.potentials import Potential
from brenier.report import Section, markdown_table
from brenier.transport.maps import TransportMap

PICTURES_FOOTNOTE = (
    "Clipped pixels left the sRGB gamut by more than half a level. The stretch is how far neighbouring pixels were "
    "pulled apart (99.9th percentile); about 2 is dither alone."
)
MIN_CELL = 1e-6  # numerical floor: cells of a colour space have a width


@dataclasses.dataclass(frozen=True)
class PaletteSettings:
    """How palettes are drawn, and how long their map is trained.

    Attributes:
        evenness: how far common colours are held back, in [0, 1]; 0.8 keeps skies whole and still reaches rare colours.
        cells: of colour space, along the longest axis of the sRGB cube; pixels in one cell count as one colour.
        pool: pixels looked at for every one that is drawn.
        colours: drawn from either photograph.
        max_steps: of training.
    """

    evenness: float = 0.8
    cells: int = 40
    pool: int = 4
    colours: int = 40_000
    max_steps: int = 1000


PALETTE = PaletteSettings()


def colour_map(
    photo: Photo,
    palette: Photo,
    *,
    space: str = "oklab",
    seed: int = 0,
    evenness: float = PALETTE.evenness,
    potential: str | Callable[[int, torch.Generator], Potential] = "convex",
    max_steps: int = PALETTE.max_steps,
    n: int = PALETTE.colours,
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
    x = sample_palette(photo, n, seed, space, evenness)
    z = sample_palette(palette, n, seed + 1, space, evenness)
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
    pool = sample_pixels(photo, PALETTE.pool * n, seed, space)
    longest = float(np.ptp(_corners(space), axis=0).max())
    width = max(longest / PALETTE.cells, MIN_CELL)
    cells = np.floor(pool / width).astype(np.int64)
    _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    weights = counts[cell.ravel()] ** -float(evenness)
    chosen = np.random.default_rng(seed).choice(len(pool), n, p=weights / weights.sum())
    return pool[chosen]


def towards(transport: TransportMap, t: float = 1.0) -> ColourMap:
    """Return the map x -> (1 - t) x + t T(x) of colours (n, 3)."""
    if t == 1:
        return transport
    return lambda colours: transport.interpolate(colours, t)


def towards_back(transport: TransportMap, t: float = 1.0) -> ColourMap:
    """Return the map z -> (1 - t) z + t T^{-1}(z) of colours (n, 3)."""

    def move(colours: NDArray[np.float32]) -> NDArray[np.floating]:
        back: NDArray[np.floating] = transport.inverse(colours)
        return colours + np.float32(t) * (back - colours)

    return move


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
    def of(cls, path: Path, photo: Photo, move: ColourMap, space: str) -> Picture:
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
        before, after = self.banding.colours_before, self.banding.colours_after
        return {
            "clipped pixels": f"{self.graded.clipped_share:.2%}",
            "distinct colours": f"{before} -> {after}",
            "largest local stretch": f"{self.banding.stretch:.1f}",
        }

    def statement(self) -> str:
        """Return the facts on one line."""
        facts = [f"{name} {value}" for name, value in self.facts().items()]
        return f"{self.path}: {', '.join(facts)}"


def pictures_section(pictures: Sequence[Picture], sheet: str) -> Section:
    """Return a report's section on graded pictures, below a contact sheet."""
    header = ["picture", *pictures[0].facts()]
    rows = [[picture.path.name, *picture.facts().values()] for picture in pictures]
    table = markdown_table(header, rows)
    body = f"![contact sheet]({sheet})\n\n{table}\n\n{PICTURES_FOOTNOTE}"
    return Section("Pictures", body)


def _corners(space: str) -> NDArray[np.floating]:
    """Return the corners of the sRGB cube in a colour space: (8, 3)."""
    ends = [0.0, 1.0]
    corners = np.stack(np.meshgrid(ends, ends, ends), axis=-1)
    return get_space(space).from_srgb(corners.reshape(-1, 3))
