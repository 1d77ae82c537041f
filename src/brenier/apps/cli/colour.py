"""`brenier colour`: a photograph in the colours of another, by optimal transport between their palettes."""

from __future__ import annotations

from pathlib import Path

from brenier.apps.cli.console import ExitCode, convergence_code
from brenier.apps.colour import Photo, in_profile_of, read_photo
from brenier.apps.colour.images import encode, format_of
from brenier.apps.colour.job import ColourJob, one_thread
from brenier.apps.colour.palette import PALETTE
from brenier.apps.colour.sheet import Panel
from brenier.errors import DataError


@one_thread()
def colour(
    photo: Path,
    palette: Path,
    out: Path,
    *,
    space: str = "oklab",
    strength: float = 1.0,
    evenness: float = PALETTE.evenness,
    inverse_out: Path | None = None,
    seed: int = 0,
    max_steps: int = PALETTE.max_steps,
    model: Path | None = None,
    report: Path | None = None,
    quiet: bool = False,
) -> ExitCode:
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
    _check_picture_file(out, source)
    if inverse_out is not None:
        _check_picture_file(inverse_out, target)
    job = ColourJob(source, target, space, evenness, seed)
    ot = job.fit(max_steps, verbose=not quiet)
    if model is not None:
        ot.save(model)
    pictures = [job.grade(ot, out, strength)]
    if inverse_out is not None:
        pictures.append(job.grade_back(ot, inverse_out, strength))
    for picture in pictures:
        picture.write()
        print(picture.statement())
    if report is not None:
        title = f"{photo.name} in the colours of {palette.name}"
        panels: list[Panel] = [(photo.name, source), (palette.name, target)]
        panels += [(picture.path.name, picture.after) for picture in pictures]
        print(f"Report: {job.report(report, title, ot, pictures, panels)}")
    found = ot.diagnostics_
    return convergence_code(found["round_trip_unconverged"], found["round_trip_rows"])


def _check_picture_file(path: Path, photo: Photo) -> None:
    """Raise where a graded photograph could not be written, before any work is done."""
    kind = format_of(path)
    if not path.parent.is_dir():
        raise DataError(f"{path}: its folder does not exist; create it first")
    encode(path, photo, kind)
