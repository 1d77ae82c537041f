"""Reports: one Markdown page per fit or evaluation, with its figures beside it; written whole or not at all."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brenier import plots
from brenier.atomic import write_bytes
from brenier.conditional import ConditionalMap
from brenier.distance import Distance
from brenier.errors import DataWarning, warn
from brenier.estimator import OptimalTransport
from brenier.transport import TransportMap, inverse_errors

PAGE = "report.md"
EXCERPT = 12  # rows of the training table that are shown


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and the Markdown below it."""

    heading: str
    body: str


@dataclasses.dataclass(frozen=True)
class RoundTrip:
    """How well a map inverts on some rows.

    Attributes:
        errors: (n,), |T^{-1}(T(x)) - x| relative to the spread of x, in the units of the cost.
        unconverged: rows whose inverse did not converge.
    """

    errors: NDArray[np.float64]
    unconverged: int

    def statement(self) -> str:
        """Return the figures in one sentence."""
        median, high = np.median(self.errors), np.percentile(self.errors, 99)
        return (
            f"Round trip x -> T(x) -> back: median error {median:.2g}, 99th percentile {high:.2g} of the spread of "
            f"the source; {self.unconverged} of {len(self.errors)} rows unconverged."
        )


def round_trip(transport: Any, x: torch.Tensor, *labels: Any) -> RoundTrip:
    """Return how well a map inverts on source rows x (n, d), whose labels it is given where it has classes."""
    errors, solution = inverse_errors(transport, x, *labels)
    return RoundTrip(errors.cpu().numpy(), solution.unconverged)


def fit_report(
    folder: Path,
    title: str,
    ot: OptimalTransport,
    x: torch.Tensor,
    z: torch.Tensor,
    extra: Sequence[Section] = (),
    labels: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> Path:
    """Write the report of a fitted estimator, its figures drawn from source rows x (n, d) and target rows z (m, d).

    Args:
        folder: where the page and its figures go; made where there is none.
        title: of the page.
        extra: sections to put before the figures.
        labels: of the rows of x and of z, where the map has classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, figures = getattr(ot, "feature_names_in_", None), training_figures(ot.history_, folder)
    if labels is None:
        trip = round_trip(ot.map_, x)
        figures += map_figures(ot.map_, x, z, trip, folder, names)
        distance = distance_section(ot.map_.held_out)
    else:
        trip = round_trip(ot.map_, x, labels[0])
        figures += class_figures(ot.map_, x, z, labels, trip, folder)
        distance = Section("Distance within each class", class_table(ot.map_))
    settings = {name: value for name, value in ot.get_params().items() if value is not None and name != "verbose"}
    sections = [
        distance,
        Section("Round trip", trip.statement()),
        *extra,
        training_section(ot.history_, ot.diagnostics_["stopped"]),
        settings_section({**settings, "selected": ot.diagnostics_["selected"]}),
        figures_section(figures),
    ]
    write_report(folder / PAGE, title, sections)
    return folder / PAGE


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a Markdown page with a title and sections; empty sections are left out.

    Raises:
        OSError: where the file cannot be written; what was there before stays.
    """
    parts = [f"# {title}", *(f"## {part.heading}\n\n{part.body}" for part in sections if part.body)]
    write_bytes(path, ("\n\n".join(parts) + "\n").encode())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table.

    >>> print(markdown_table(["a", "b"], [[1, 0.123456]]))
    | a | b |
    | --- | --- |
    | 1 | 0.1235 |
    """
    lines = [header, ["---"] * len(header), *([shown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def text_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table for a terminal: the first column to the left, figures to the right.

    >>> print(text_table(["map", "W2"], [["affine", 0.5]]))
    map      W2
    affine  0.5
    """
    cells = [list(header), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def shown(value: Any) -> str:
    """Return a value as people read it: four digits of a float, a dash for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}"


def class_table(
    transport: ConditionalMap, make: Callable[[Sequence[str], Sequence[Sequence[Any]]], str] = markdown_table
) -> str:
    """Return what was measured on held-out rows of every class, as a table made by `make(header, rows)`."""
    header = ["class", "W2", "± one s.e.", "lower bound", "held-out rows", "unconverged"]
    rows = []
    for key, label in enumerate(transport.labels):
        found = transport.held_out.get(key)
        figures = [found.w2, found.w2_error, found.lower, found.rows[0], found.unconverged] if found else [None] * 5
        rows.append([str(label), *figures])
    return make(header, rows)


def settings_section(settings: Mapping[str, Any], heading: str = "Settings") -> Section:
    """Return a table of names and values."""
    return Section(heading, markdown_table(["setting", "value"], list(settings.items())) if settings else "")


def distance_section(distance: Distance | None) -> Section:
    """Return what may be claimed about the distance, as a list."""
    if distance is None:
        return Section("Distance", "")
    return Section("Distance", "\n".join(f"* {line}" for line in distance.statement().splitlines()))


def training_section(history: Sequence[Mapping[str, float]], stopped: str) -> Section:
    """Return an excerpt of the training record: evenly spaced evaluations, the first and the last among them."""
    if not history:
        return Section("Training", "")
    columns = {
        "step": "step",
        "seconds": "seconds",
        "value": "held-out J",
        "standard_error": "± one s.e.",
        "train_value": "training J",
        "evaluations": "gradients per row",
        "held_out_unconverged": "unconverged",
        "learning_rate": "learning rate",
    }
    picked = sorted({round(i) for i in np.linspace(0, len(history) - 1, EXCERPT)})
    table = markdown_table(list(columns.values()), [[history[i].get(name) for name in columns] for i in picked])
    last = history[-1]
    return Section(
        "Training",
        f"{last['step']:.0f} steps in {last['seconds']:.1f} s; stopped: {stopped}; {last['setbacks']:.0f} setbacks. "
        f"{len(picked)} of {len(history)} evaluations:\n\n{table}",
    )


def figures_section(figures: Sequence[tuple[str, str]]) -> Section:
    """Return figures, given as (file name, caption), each under its caption."""
    return Section("Figures", "\n\n".join(f"{caption}\n\n![{caption}]({name})" for name, caption in figures))


def training_figures(history: Sequence[dict[str, float]], folder: Path) -> list[tuple[str, str]]:
    """Write the figures of a training record; return their names and captions."""
    return _drawn(
        folder,
        ("loss.png", "The dual objective J while training: lower is better.", lambda p: plots.loss_curve(history, p)),
        ("inner.png", "What the inner solves cost.", lambda p: plots.inner_convergence(history, p)),
    )


def map_figures(
    transport: TransportMap,
    x: torch.Tensor,
    z: torch.Tensor,
    trip: RoundTrip,
    folder: Path,
    names: Sequence[str] | None = None,
) -> list[tuple[str, str]]:
    """Write the figures of a map on source rows x (n, d) and target rows z (m, d); return names and captions."""
    x, z = x[: plots.MAX_POINTS], z[: plots.MAX_POINTS]
    moved = transport(x)
    return _drawn(
        folder,
        ("scatter.png", "Source, moved source and target.", lambda p: plots.scatter(x, z, moved, p, names)),
        ("round-trip.png", "How well the map inverts.", lambda p: plots.round_trip_histogram(trip.errors, p)),
    )


def class_figures(
    transport: ConditionalMap,
    x: torch.Tensor,
    z: torch.Tensor,
    labels: tuple[Sequence[Any], Sequence[Any]],
    trip: RoundTrip,
    folder: Path,
) -> list[tuple[str, str]]:
    """Write the figures of a map with classes on labelled rows of either side; return names and captions."""
    keys, moved = transport.conditions.keys, transport(x, labels[0])
    classes = keys(labels[0], "labels", len(x)), keys(labels[1], "labels", len(z))
    return _drawn(
        folder,
        (
            "scatter.png",
            "Source, moved source and target, by class.",
            lambda p: plots.class_scatter(x, z, moved, *classes, transport.labels, p),
        ),
        ("round-trip.png", "How well the map inverts.", lambda p: plots.round_trip_histogram(trip.errors, p)),
    )


def _drawn(folder: Path, *figures: tuple[str, str, Callable[[Path], None]]) -> list[tuple[str, str]]:
    """Draw figures into a folder; without matplotlib there are none, and a warning says so."""
    if importlib.util.find_spec("matplotlib") is None:
        warn('the report has no plots: pip install "brenier[plots]"', DataWarning)
        return []
    for name, _, draw in figures:
        draw(folder / name)
    return [(name, caption) for name, caption, _ in figures]
