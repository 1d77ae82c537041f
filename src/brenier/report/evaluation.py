"""What a map does on given samples, beside doing nothing and beside the affine map."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from brenier import metrics
from brenier.errors import DataError
from brenier.transport.coordinates import gaussian_coordinates
from brenier.transport.maps import Distance, RoundTrip, TransportMap, round_trip

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

    def table(
        self, make: Callable[[Sequence[str], Sequence[Sequence[Any]]], str]
    ) -> str:
        """Return the scores as a table made by `make(header, rows)`."""
        header = list(next(iter(self.scores.values())))
        return make(
            ["", *header],
            [
                [name, *(row[key] for key in header)]
                for name, row in self.scores.items()
            ],
        )


def measure(transport: TransportMap, x: Tensor, z: Tensor, seed: int = 0) -> Evaluation:
    """Return what a map does on source rows x (n, d) and target rows z (m, d).

    Raises:
        DataError: for fewer than 2 source or 4 target rows.
    """
    if len(x) < 2 or len(z) < 4:
        raise DataError(
            f"{'X' if len(x) < 2 else 'Y'}: has too few rows; give at least 2 source and 4 target rows"
        )
    unit, common = transport.coordinates.unit.cpu(), transport.coordinates.common
    scale = (
        torch.ones_like(unit) if common else unit
    )  # metrics weigh features as the cost does
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    k = min(len(x), len(z) // 2)
    reference, fresh = z[order[:k]], z[order[k : 2 * k]]
    baseline = gaussian_coordinates(x, z[order[k:]], scale)
    compared = {
        "identity (source)": x[:k],
        "affine map": baseline.decode_target(baseline.encode_source(x[:k])),
        "this map": transport(x[:k]),
        "fresh target samples": fresh,
    }
    return Evaluation(
        distance=transport.distance(x, z),
        trip=round_trip(transport, x[:INVERTED]),
        scores={
            name: _scores(part / scale, reference / scale)
            for name, part in compared.items()
        },
        rows=k,
        unit="units of the data" if common else "units of each feature's scale",
    )


def _scores(a: Tensor, b: Tensor) -> dict[str, float]:
    """Return every metric between two samples (n, d); the sliced distance only where POT is there."""
    pot = importlib.util.find_spec("ot") is not None
    return {
        name: metric(a, b)
        for name, metric in METRICS.items()
        if pot or metric is not metrics.sliced_w2
    }


def plain(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it."""
    quantiles = torch.tensor([0.5, 0.99, 1.0], dtype=torch.float64)
    median, high, largest = torch.quantile(
        torch.as_tensor(found.trip.errors), quantiles
    ).tolist()
    trip = {"rows": len(found.trip.errors), "unconverged": found.trip.unconverged}
    return {
        "distance": dataclasses.asdict(found.distance),
        "round_trip": {
            **trip,
            "median": median,
            "percentile_99": high,
            "largest": largest,
        },
        "scores": found.scores,
        "rows": found.rows,
        "unit": found.unit,
    }
