"""How a map does on given samples, compared with doing nothing and with the affine map."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brenier import metrics
from brenier.errors import DataError
from brenier.report.tables import MakeTable
from brenier.statistics import RowWeights, Weighted
from brenier.transport.coordinates import gaussian_coordinates
from brenier.transport.maps import Distance, RoundTrip, TransportMap, round_trip

METRICS: dict[str, Callable[..., float]] = {
    "sliced W2": metrics.sliced_w2,
    "energy distance": metrics.energy_distance,
    "MMD^2": metrics.mmd,
}
EVALUATION_FOOTNOTE = (
    "Each row compares equally many samples with the same half of the target; smaller is better. The last row is what "
    "a perfect map would score. On samples that the map was fitted to, its scores are too good. MMD^2 and the energy "
    "distance are unbiased estimates, so they can be below zero by chance."
)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What an evaluation needs and looks at.

    Attributes:
        min_source, min_target: fewest rows of either side: a metric compares at least two rows with two others, and the
            target is split in halves.
        max_inverted: source rows that are moved there and back, at most; enough for a 99th percentile.
    """

    min_source: int = 2
    min_target: int = 4
    max_inverted: int = 8192


EVALUATION = EvaluationSettings()


@dataclasses.dataclass(frozen=True)
class MapEvaluation:
    """What a map does on given samples.

    Attributes:
        distance: W2 with its bounds.
        trip: how well the map inverts.
        scores: per row of the table (identity, affine map, this map, fresh target samples), the metrics by name.
        rows: samples that each comparison used of either side.
        unit: what the metrics are measured in.
    """

    distance: Distance
    trip: RoundTrip
    scores: dict[str, dict[str, float]]
    rows: int
    unit: str

    def table(self, make: MakeTable) -> str:
        """Return the scores as a table made by `make(header, rows)`."""
        header = list(next(iter(self.scores.values())))
        rows: list[list[object]] = []
        for name, scores in self.scores.items():
            rows.append([name, *(scores[metric] for metric in header)])
        return make(["", *header], rows)


def measure(
    transport: TransportMap,
    x: Tensor,
    z: Tensor,
    seed: int = 0,
    weights: RowWeights = (None, None),
) -> MapEvaluation:
    """Return what a map does on source rows x (n, d) and target rows z (m, d).

    Half of the target rows are the reference of every comparison; the other half stands for a perfect map, and the
    affine map is fitted to it.

    Args:
        transport: the map.
        x, z: samples of either side, in float64.
        seed: of the halves of the target.
        weights: (n,), (m,), of the samples, None where all of a side count alike.

    Raises:
        DataError: for fewer than 2 source or 4 target rows, or weights that cannot be used.
    """
    if not has_enough_rows(x, z):
        side = "X" if len(x) < EVALUATION.min_source else "Y"
        raise DataError(
            f"{side}: has too few rows; give at least {EVALUATION.min_source} source and {EVALUATION.min_target} "
            "target rows",
            argument=side,
        )
    coordinates = transport.coordinates.to("cpu")
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    k = min(len(x), len(z) // 2)
    of_x, of_z = weights
    distance = transport.distance(x, z, source_weight=of_x, target_weight=of_z)
    # Metrics weigh features as the cost does, and the affine map is that between rows so weighed.
    source, target = Weighted(coordinates.comparable(x), of_x), Weighted(z, of_z)
    target = target.of(coordinates.comparable)
    reference, fresh = target[order[:k]], target[order[k : 2 * k]]
    unit = torch.ones_like(coordinates.unit)
    baseline = gaussian_coordinates(source, target[order[k:]], unit)
    moved = source[:k]
    compared = {
        "identity (source)": moved,
        "affine map": moved.of(
            lambda rows: baseline.decode_target(baseline.encode_source(rows))
        ),
        "this map": Weighted(coordinates.comparable(transport(x[:k])), moved.weights),
        "fresh target samples": fresh,
    }
    scores = {name: _scores(rows, reference) for name, rows in compared.items()}
    return MapEvaluation(
        distance=distance,
        trip=round_trip(transport, x[: EVALUATION.max_inverted]),
        scores=scores,
        rows=k,
        unit=_unit_of(transport),
    )


def _unit_of(transport: TransportMap) -> str:
    """Return what metrics are measured in."""
    if transport.coordinates.metric is not None:
        return "units of the metric"
    if transport.coordinates.common:
        return "units of the data"
    return "units of each feature's scale"


def has_enough_rows(x: Tensor, z: Tensor) -> bool:
    """Say whether a map can be evaluated on so many source rows x (n, d) and target rows z (m, d)."""
    return len(x) >= EVALUATION.min_source and len(z) >= EVALUATION.min_target


def to_json(found: MapEvaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it."""
    levels = torch.tensor([0.5, 0.99, 1.0], dtype=torch.float64)
    errors = torch.as_tensor(found.trip.errors)
    median, high, largest = torch.quantile(errors, levels).tolist()
    trip = {
        "rows": len(errors),
        "unconverged": found.trip.unconverged,
        "median": median,
        "percentile_99": high,
        "largest": largest,
        "missed": found.trip.missed,
        "missed_error": found.trip.settings.missed_error,
    }
    return {
        "distance": dataclasses.asdict(found.distance),
        "round_trip": trip,
        "scores": found.scores,
        "rows": found.rows,
        "unit": found.unit,
    }


def _scores(a: Weighted, b: Weighted) -> dict[str, float]:
    """Return every metric between two samples (n, d), weighted or not; the sliced one only where POT is installed."""
    available = dict(METRICS)
    if importlib.util.find_spec("ot") is None:
        available.pop("sliced W2")
    told = {"weights": (a.weights, b.weights)}
    return {name: metric(a.rows, b.rows, **told) for name, metric in available.items()}
