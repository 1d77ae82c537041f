"""Two photographs and the map between their palettes: what the command `colour` and the demonstration share."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from brenier.apps.colour.palette import (
    PALETTE,
    Picture,
    colour_map,
    pictures_section,
    sample_palette,
    towards,
    towards_back,
)
from brenier.apps.colour.photo import Photo
from brenier.apps.colour.sheet import Panel, contact_sheet
from brenier.estimators import OptimalTransport
from brenier.report import REPORT, Section, fit_report
from brenier.training import threads_kept

CONTACT_SHEET = "sheet.png"  # its file name in the folder of a report


@dataclasses.dataclass(frozen=True, eq=False)
class ColourJob:
    """Two photographs, and how their palettes are compared.

    Attributes:
        source: the photograph that is graded.
        target: the photograph whose palette it takes.
        space: the colour space that distances are measured in.
        evenness: how far common colours are held back, in [0, 1].
        seed: of the colours drawn and of training.
    """

    source: Photo
    target: Photo
    space: str = "oklab"
    evenness: float = PALETTE.evenness
    seed: int = 0

    def fit(
        self,
        max_steps: int = PALETTE.max_steps,
        n: int = PALETTE.colours,
        verbose: bool = False,
    ) -> OptimalTransport:
        """Return the fitted map from the palette of the source to that of the target; arguments as in `colour_map`."""
        return colour_map(
            self.source,
            self.target,
            space=self.space,
            seed=self.seed,
            evenness=self.evenness,
            max_steps=max_steps,
            n=n,
            verbose=verbose,
        )

    def grade(self, ot: OptimalTransport, path: Path, t: float = 1.0) -> Picture:
        """Return the source, its colours moved the share t of the way to the target; `path` is where it will go."""
        return Picture.of(path, self.source, towards(ot.map_, t), self.space)

    def grade_back(self, ot: OptimalTransport, path: Path, t: float = 1.0) -> Picture:
        """Return the target, its colours moved the share t of the way to the source; `path` is where it will go."""
        return Picture.of(path, self.target, towards_back(ot.map_, t), self.space)

    def report(
        self,
        folder: Path,
        title: str,
        ot: OptimalTransport,
        pictures: Sequence[Picture],
        panels: Sequence[Panel],
        *,
        columns: int = 2,
        n: int = REPORT.max_rows,
        extra: Sequence[Section] = (),
    ) -> Path:
        """Write a report on freshly drawn colours, with a contact sheet; return the path of the page.

        Args:
            folder: where the report goes; made where there is none.
            title: of the page.
            ot: the fitted map.
            pictures: what was graded.
            panels: of the contact sheet.
            columns: how many of them stand side by side.
            n: colours of either photograph that the report looks at.
            extra: further sections.
        """
        # `colour_map` drew with the seed and the next one.
        x, z = self._colours(self.source, n), self._colours(self.target, n)
        sections = [pictures_section(pictures, CONTACT_SHEET), *extra]
        page = fit_report(folder, title, ot, x, z, sections)
        contact_sheet(panels, folder / CONTACT_SHEET, columns)
        return page

    def _colours(self, photo: Photo, n: int) -> torch.Tensor:
        seed = self.seed + 2
        return torch.tensor(sample_palette(photo, n, seed, self.space, self.evenness))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: steps on three features are too small to share, and on a busy machine each waits."""
    with threads_kept():
        torch.set_num_threads(1)
        yield
