"""The table "bounds": how often the bounds of a certificate hold, over many draws of new rows for one fitted map.

A fit for every draw would be dear, and is not what the claim is about: a map is fitted once to a case, whatever it is,
and its certificate is made anew from independent rows, as many of each side as `--rows`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.certificates.cases import (
    TRUTH_SEED,
    Case,
    chosen_cases,
    squared_distance,
    true_gap,
)
from benchmarks.certificates.factor import share
from benchmarks.certificates.fits import certified, fitted
from benchmarks.harness import Choice, Column, Flags, Row, Table
from brenier import TransportMap
from brenier.transport.dual import conjugate

CASES = (
    Case("tails", 2, 1000),
    Case("islands", 2, 1000),
    Case("curve", 2, 1000),
    Case("w2hd", 2, 1000),
    Case("tails", 8, 1000),
    Case("mixture", 8, 1000),
    Case("manifold", 8, 1000),
    Case("clusters", 8, 1000),
    Case("logsumexp", 16, 1000),
    Case("tails", 16, 1000),
    Case("islands", 16, 1000),
    Case("w2hd", 16, 1000),
    Case("gaussian", 2, 1000),
    Case("separable", 2, 10_000),
    Case("manifold", 16, 10_000),
    Case("w2hd", 16, 10_000),
)
STARTS = 50  # of every row in the search that the audit is compared with
NOISE = (
    0.3,
    1.0,
    2.0,
    4.0,
)  # standard deviations about a minimum, for every other start
# By so much of its size, or of one, is a value lower that is of another minimum: more than single precision loses.
MARGIN = 1e-5


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen_cases(CASES, flags):
        settings = {"pair": case.kind, "dim": case.dim, "samples": case.rows}
        yield Choice(case.name, case, settings)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    told = {"draws": flags.draws, "rows": flags.rows, "max_time": min(flags.seconds)}
    yield Choice(f"bounds, {flags.rows:,} rows", flags.rows, told)


def measure(case: Case, rows: int, seed: int, flags: Flags) -> dict[str, Any]:
    """Fit a case once; return how often the bounds of many certificates hold."""
    fit = fitted(case, min(flags.seconds), seed)
    transport = fit.ot.map_
    w2 = squared_distance(case.kind, case.dim).value ** 0.5
    gap = true_gap(transport, case.pair, flags.points, seed)
    began = time.process_time()
    found = []
    for draw in range(flags.draws):
        x, y = case.samples(10_000 * (seed + 1) + draw, rows)
        found.append(certified(fit.ot, x, y, map_error=False, seed=draw).certificate)
    seconds = (time.process_time() - began) / flags.draws
    lowers, uppers, gaps = (
        [getattr(each, name) for each in found] for name in ("lower", "upper", "gap")
    )
    return {
        "w2": w2,
        "true_gap": gap.value,
        "true_gap_error": gap.error,
        "lower_covered": share(low is None or low <= w2 for low in lowers),
        "upper_covered": share(high is None or high >= w2 for high in uppers),
        "gap_covered": share(high is None or high >= gap.value for high in gaps),
        "lower_share": _median(lowers, w2),
        "upper_share": _median(uppers, w2),
        "gap_share": _median(gaps, gap.value),
        "gap_silent": share(high is None for high in gaps),
        "improved": statistics.mean(
            each.audit.improved / max(1, each.audit.rows) for each in found
        ),
        "audit_bias": statistics.median(each.audit.bias for each in found) / gap.value,
        **_left(case, fit.ot, rows, flags, gap.value),
        "kept_affine": fit.kept_affine,
        "selected": fit.ot.diagnostics_["selected"],
        "draw_seconds": seconds,
    }


def _median(values: list[float | None], true: float) -> float | None:
    """Return the median of bounds over the truth, None where there are none."""
    known = [value for value in values if value is not None]
    return statistics.median(known) / true if known else None


def _left(
    case: Case, ot: Any, rows: int, flags: Flags, gap: float
) -> dict[str, float | None]:
    """Return what a much harder search finds that the audit has not taken off, as a share of the gap."""
    x, y = case.samples(TRUTH_SEED + 3, min(rows, flags.searched))
    audit = ot.certify(x, y, map_error=False).audit
    missed = missed_depth(ot.map_, x, y)
    return {"missed": missed / gap, "bias_left": (missed - audit.bias) / gap}


@torch.no_grad()
def missed_depth(transport: TransportMap, x: Tensor, z: Tensor) -> float:
    """Return by how much the dual value on z (m, d) is too high, in squared units, as a search from many starts finds.

    Starts are minima with noise added, and source rows of x (n, d), in turn.
    """
    rows, coordinates = transport.rows(), transport.coordinates
    network = transport.network
    dtype = next(network.parameters()).dtype
    w = coordinates.encode_target(z.double()).to(dtype)
    u = coordinates.encode_source(x.double()).to(dtype)
    own = rows.solver.solve(network, w)
    lowest = own.value.clone()
    generator = torch.Generator().manual_seed(TRUTH_SEED + 4)
    for k in range(STARTS):
        start = u[torch.randint(len(u), (len(w),), generator=generator)]
        if k % 2:
            noise = torch.randn(w.shape, generator=generator)
            start = own.point + NOISE[k // 2 % len(NOISE)] * noise.to(w)
        other = conjugate(
            network,
            w,
            method=transport.method,
            start=start,
            tol=transport.tol,
            max_steps=transport.max_steps,
        )
        lowest = torch.fmin(lowest, other.value)
    depth = own.value - lowest
    depth = depth * (depth > MARGIN * own.value.abs().clamp(min=1.0))
    return 2 * transport.unit_of_values() * float(depth.double().mean())


def is_bounds(row: Row) -> bool:
    """Say whether a row is one of this table."""
    return row.method.startswith("bounds")


def _of_gap(name: str) -> Any:
    def value(row: Row) -> float | None:
        found = row.get(name)
        return None if found is None else 100 * found

    return value


TABLE = Table(
    "certificates-bounds",
    "certificates",
    (
        Column("draws", "draws", ",.0f"),
        Column("lower bound holds", "lower_covered", ".3f"),
        Column("upper", "upper_covered", ".3f"),
        Column("of the gap", "gap_covered", ".3f"),
        Column("L / W2", "lower_share", ".3f"),
        Column("U / W2", "upper_share", ".3f"),
        Column("gap's bound / gap", "gap_share", ".1f"),
        Column("says nothing of the gap", "gap_silent", ".2f"),
        Column("gap, % of W2²", lambda row: 100 * row.get("true_gap") / row.get("w2") ** 2, ".2f"),
        Column("rows improved, %", _of_gap("improved"), ".2f"),
        Column("taken off, % of gap", _of_gap("audit_bias"), ".2f"),
        Column("missed", _of_gap("missed"), ".2f"),
        Column("left (≤ 0.5)", _of_gap("bias_left"), ".2f", max),
        Column("selected", "selected"),
        Column("seconds a draw", "draw_seconds", ".2f"),
    ),
    where=is_bounds,
)  # fmt: skip
