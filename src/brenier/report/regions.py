"""Which rows to believe: how a map does in the middle of its source, farther out, and at its edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from brenier.metrics import energy_distance
from brenier.report.page import Section
from brenier.report.tables import markdown_table
from brenier.transport.maps import ConditionalMap, RoundTrip, TransportMap


@dataclasses.dataclass(frozen=True)
class RegionSettings:
    """Where regions begin.

    Attributes:
        core, edge: shares of the source that lie farther out than the middle, and than all but the outermost rows.
        least_rows: of a region, for a figure of its own.
        most_rows: of either side that are compared.
    """

    core: float = 0.5
    edge: float = 0.05
    least_rows: int = 8
    most_rows: int = 4096


REGIONS = RegionSettings()
HEADER = (
    "rows",
    "how many",
    "moved by (rms)",
    "round trip, median",
    "do not come back",
    "mismatch",
    "noise of that",
)
FOOTNOTE = (
    "Rows are told apart by `map_.support`, the share of the source that lies at least as far out. The mismatch is the "
    "energy distance between rows of a region that are moved and target rows whose inverse lies in it; beside it that "
    "between two halves of these target rows. It is an unbiased estimate, so it can be below zero by chance."
)


def regions_section(
    transport: TransportMap | ConditionalMap,
    x: Tensor,
    z: Tensor,
    trip: RoundTrip,
    labels: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
) -> Section:
    """Return how a map does on source rows x (n, d), region by region; empty where its support is not known.

    Args:
        transport: the map.
        x, z: rows of either side.
        trip: how x goes there and back.
        labels: of x and of z, where the map has classes.
    """
    heading = "Which rows to believe"
    if not _knows_support(transport):
        return Section(heading, "")
    most = REGIONS.most_rows
    x, z = x[:most], z[:most]
    own = () if labels is None else (list(labels[0])[:most],)
    others = () if labels is None else (list(labels[1])[:most],)
    shares = _support_shares(transport, x, own)
    back, _ = transport.inverse(z, *others, return_solution=True)  # type: ignore[misc, arg-type]
    of_target = _support_shares(transport, back, others)
    moved = transport(x, *own)  # type: ignore[call-arg, arg-type]
    errors = torch.as_tensor(trip.errors[: len(x)])
    comparable = transport.coordinates.to("cpu").comparable
    a, b = comparable(moved.cpu()), comparable(z.cpu())
    lengths = torch.linalg.vector_norm(a - comparable(x.cpu()), dim=-1)
    rows = []
    for name, low, high in (
        ("the middle half", REGIONS.core, 1.0),
        ("farther out", REGIONS.edge, REGIONS.core),
        (f"the outermost {REGIONS.edge:.0%}", 0.0, REGIONS.edge),
    ):
        here = (shares > low) & (shares <= high)
        there = (of_target > low) & (of_target <= high)
        missed = errors[here] > trip.settings.missed_error
        told = _told(lengths[here], errors[here], missed)
        rows.append([name, int(here.sum()), *told, *_mismatch(a[here], b[there])])
    return Section(heading, f"{markdown_table(HEADER, rows)}\n\n{FOOTNOTE}")


def _knows_support(transport: TransportMap | ConditionalMap) -> bool:
    """Say whether the support of a map is known, and its conditions are classes where it has any."""
    if isinstance(transport, ConditionalMap):
        return bool(transport.fitted_supports and transport.labels)
    return transport.fitted_support is not None


def _support_shares(
    transport: TransportMap | ConditionalMap,
    rows: Tensor,
    condition: tuple[Sequence[Hashable], ...],
) -> Tensor:
    """Return which share of the source lies at least as far out: (n,)."""
    found = transport.support(rows, *condition)  # type: ignore[call-arg, arg-type]
    return torch.as_tensor(np.asarray(found.cpu()))


def _told(lengths: Tensor, errors: Tensor, missed: Tensor) -> list[object]:
    """Return how far the rows of a region are moved and how they come back; None for few rows."""
    if len(lengths) < REGIONS.least_rows:
        return [None, None, None]
    share = f"{100 * float(missed.double().mean()):.2g} %"
    return [float(lengths.square().mean().sqrt()), float(errors.median()), share]


def _mismatch(moved: Tensor, target: Tensor) -> tuple[float | None, float | None]:
    """Return the energy distance of moved rows to target rows, and that of two halves of these."""
    half = len(target) // 2
    if min(len(moved), half) < REGIONS.least_rows:
        return None, None
    first, second = target[:half], target[half:]
    return energy_distance(moved, first), energy_distance(second, first)
