"""`brenier evaluate`: how good a saved map is on given samples, beside doing nothing and beside the affine map."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brenier import metrics
from brenier.commands.console import NOTHING_CONVERGED, OK, note, print_json
from brenier.commands.inputs import check_dim, features_of, named, read_pair, some_rows
from brenier.coordinates import gaussian_coordinates
from brenier.distance import Distance
from brenier.errors import DataError
from brenier.estimator import OptimalTransport, load
from brenier.report import (
    PAGE,
    RoundTrip,
    Section,
    distance_section,
    figures_section,
    map_figures,
    markdown_table,
    round_trip,
    text_table,
    write_report,
)

ROWS = 100_000  # of either side that are looked at, at most
INVERTED = 8192  # of those that are moved there and back
METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "sliced W2": metrics.sliced_w2,
    "energy distance": metrics.energy_distance,
    "MMD^2": metrics.mmd,
}
READING = (
    "Each row compares equally many samples with the same half of the target; smaller is better. The last row is what "
    "a perfect map would score; samples that the map was fitted to flatter it. MMD^2 and the energy distance are "
    "unbiased, so below zero by chance."
)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a map does on given samples.

    Attributes:
        distance: W2 with its bounds.
        trip: how well it inverts.
        scores: per row of the table, the metrics by name.
        rows: samples that each comparison used of either side.
        unit: what the metrics are measured in.
    """

    distance: Distance
    trip: RoundTrip
    scores: dict[str, dict[str, float]]
    rows: int
    unit: str

    def table(self, make: Callable[[Sequence[str], Sequence[Sequence[Any]]], str]) -> str:
        """Return the scores as a table made by `make(header, rows)`."""
        header = list(next(iter(self.scores.values())))
        return make(["", *header], [[name, *(row[key] for key in header)] for name, row in self.scores.items()])


def evaluate(
    model: Path,
    source: Path,
    target: Path,
    *,
    out: Path | None = None,
    as_json: bool = False,
    columns: Sequence[str] | None = None,
    source_key: str | None = None,
    target_key: str | None = None,
    seed: int = 0,
) -> int:
    """Measure a saved map on the samples of two files; print the figures, and write a report on request.

    Args:
        model: the folder that `fit` wrote.
        source, target: .npy, .npz, .csv or .parquet files.
        out: a folder for the report and its plots, or None.
        as_json: whether to print JSON.
        seed: of the rows, halves and directions that are drawn.
    """
    ot = load(model)
    names = features_of(ot)
    x_file, z_file = read_pair(source, target, columns, source_key, target_key, names)
    check_dim(x_file, ot.map_.dim, "the model has")
    x, z = some_rows(x_file, ROWS, seed), some_rows(z_file, ROWS, seed + 1)
    with named(source, target):
        found = measure(ot, x, z, seed)
    page = None if out is None else _write(out, found, ot, x, z, f"{model} on {source.name} and {target.name}")
    if as_json:
        print_json(_plain(found))
    else:
        _print(found, page)
    return NOTHING_CONVERGED if found.trip.unconverged == len(found.trip.errors) else OK


def measure(ot: OptimalTransport, x: Tensor, z: Tensor, seed: int = 0) -> Evaluation:
    """Return what a map does on source rows x (n, d) and target rows z (m, d).

    Raises:
        DataError: for fewer than 2 source or 4 target rows.
    """
    if len(x) < 2 or len(z) < 4:
        raise DataError(f"{'X' if len(x) < 2 else 'Y'}: has too few rows; give at least 2 source and 4 target rows")
    transport, unit = ot.map_, ot.map_.coordinates.unit.cpu()
    common = transport.coordinates.common
    scale = torch.ones_like(unit) if common else unit  # metrics weigh features as the cost does
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    k = min(len(x), len(z) // 2)
    reference, fresh = z[order[:k]], z[order[k : 2 * k]]
    baseline = gaussian_coordinates(x, z[order[k:]], scale)
    compared = {
        "identity (source)": x[:k],
        "affine map": baseline.target_out(baseline.source_in(x[:k])),
        "this map": transport(x[:k]),
        "fresh target samples": fresh,
    }
    return Evaluation(
        distance=transport.distance(x, z),
        trip=round_trip(transport, x[:INVERTED]),
        scores={name: _scores(part / scale, reference / scale) for name, part in compared.items()},
        rows=k,
        unit="units of the data" if common else "units of each feature's scale",
    )


def _scores(a: Tensor, b: Tensor) -> dict[str, float]:
    """Return every metric between two samples (n, d); the sliced distance only where POT is there."""
    pot = importlib.util.find_spec("ot") is not None
    return {name: metric(a, b) for name, metric in METRICS.items() if pot or metric is not metrics.sliced_w2}


def _print(found: Evaluation, page: Path | None) -> None:
    print(found.distance.statement())
    print(found.trip.statement())
    print(f"\nDistance to the target ({found.rows} rows of either side, {found.unit}):\n")
    print(found.table(text_table))
    print(f"\n{READING}")
    if "sliced W2" not in next(iter(found.scores.values())):
        note('note: the sliced distance is left out: pip install "brenier[metrics]"')
    if page is not None:
        print(f"Report: {page}")


def _write(out: Path, found: Evaluation, ot: OptimalTransport, x: Tensor, z: Tensor, title: str) -> Path:
    """Write the report and its plots."""
    out.mkdir(parents=True, exist_ok=True)
    figures = map_figures(ot.map_, x, z, found.trip, out, features_of(ot))
    comparison = f"{found.rows} rows of either side, {found.unit}.\n\n{found.table(markdown_table)}\n\n{READING}"
    sections = [
        distance_section(found.distance),
        Section("Round trip", found.trip.statement()),
        Section("Distance to the target", comparison),
        figures_section(figures),
    ]
    write_report(out / PAGE, f"Evaluation of {title}", sections)
    return out / PAGE


def _plain(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it."""
    quantiles = torch.tensor([0.5, 0.99, 1.0], dtype=torch.float64)
    median, high, largest = torch.quantile(torch.as_tensor(found.trip.errors), quantiles).tolist()
    trip = {"rows": len(found.trip.errors), "unconverged": found.trip.unconverged}
    return {
        "distance": dataclasses.asdict(found.distance),
        "round_trip": {**trip, "median": median, "percentile_99": high, "largest": largest},
        "scores": found.scores,
        "rows": found.rows,
        "unit": found.unit,
    }
