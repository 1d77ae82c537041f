"""`brenier colour`: a photograph in the colours of another, by optimal transport between their palettes."""

from __future__ import annotations

from pathlib import Path

import torch

from brenier.apps.cli.console import NOTHING_CONVERGED, OK
from brenier.apps.colour import Photo, contact_sheet, in_profile_of, read_photo
from brenier.apps.colour.images import FORMATS, encode
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
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.report import fit_report

REPORTED = 8192  # colours of either photograph that the report looks at
SHEET = "sheet.png"


@one_thread()
def colour(
    photo: Path,
    palette: Path,
    out: Path,
    *,
    space: str = "oklab",
    strength: float = 1.0,
    evenness: float = EVENNESS,
    inverse_out: Path | None = None,
    seed: int = 0,
    max_steps: int = 1000,
    model: Path | None = None,
    report: Path | None = None,
    quiet: bool = False,
) -> int:
    """Grade a photograph with the palette of another, and on request the other way round.

    Args:
        photo, palette: pictures of any kind that Pillow reads.
        out: where the graded photograph goes.
        space: the colour space that distances are measured in.
        strength: how far colours move, in [0, 1].
        evenness: how far common colours are held back, in [0, 1].
        inverse_out: where the palette's own photograph goes, graded with the inverse map, or None.
        seed: of the colours drawn and of training.
        max_steps: training steps at most.
        model: a folder to save the map in, or None.
        report: a folder for a report with plots and a contact sheet, or None.
        quiet: whether to leave out the progress bar.
    """
    if not 0 <= strength <= 1:
        raise DataError(
            f"--strength: is {strength}; give 0 (the photograph itself) to 1 (the whole way)"
        )
    source = read_photo(photo)
    target = in_profile_of(read_photo(palette), source)
    _check_output(out, source)
    if inverse_out is not None:
        _check_output(inverse_out, target)
    settings = {
        "space": space,
        "seed": seed,
        "evenness": evenness,
        "max_steps": max_steps,
    }
    ot = colour_map(source, target, verbose=not quiet, **settings)  # type: ignore[arg-type]
    if model is not None:
        ot.save(model)
    pictures = [Picture.of(out, source, towards(ot.map_, strength), space)]
    if inverse_out is not None:
        pictures.append(
            Picture.of(inverse_out, target, towards_back(ot.map_, strength), space)
        )
    for picture in pictures:
        picture.write()
        print(picture.statement())
    if report is not None:
        samples = [
            torch.tensor(sample_palette(p, REPORTED, seed + 2, space, evenness))
            for p in (source, target)
        ]
        title = f"{photo.name} in the colours of {palette.name}"
        page = fit_report(
            report,
            title,
            ot,
            samples[0],
            samples[1],
            [pictures_section(pictures, SHEET)],
        )
        contact_sheet(_panels(photo, palette, source, target, pictures), report / SHEET)
        print(f"Report: {page}")
    return _code(ot)


def _panels(
    photo: Path, palette: Path, source: Photo, target: Photo, pictures: list[Picture]
) -> list[tuple[str, Photo]]:
    """Return the panels of the contact sheet."""
    panels = [(photo.name, source), (palette.name, target)]
    return panels + [(picture.path.name, picture.after) for picture in pictures]


def _check_output(path: Path, photo: Photo) -> None:
    """Raise where a graded photograph could not be written, before any work is done."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(
            f"{path}: no format has the suffix {path.suffix!r}; use one of {', '.join(FORMATS)}"
        )
    if not path.parent.is_dir():
        raise DataError(f"{path}: its folder does not exist; create it first")
    encode(path, photo, kind)


def _code(ot: OptimalTransport) -> int:
    found = ot.diagnostics_
    return (
        NOTHING_CONVERGED
        if found["round_trip_unconverged"] == found["round_trip_rows"]
        else OK
    )
