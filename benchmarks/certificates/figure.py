"""The figure of errors claimed against errors made, over all pairs whose map is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.certificates.factor import SIDES, WITHIN, Judged, left_out
from benchmarks.certificates.kappa import is_kappa
from benchmarks.harness.rows import Row, latest, read

NAME = "certificates-claimed.png"
# Two kinds of estimate: from a twin, filled; from matchings, hollow.
KINDS = ("twin", "matching")
SHAPES = "osD^v<>Pph*X"  # with the colour a pair's own
AROUND = 1.6  # factor by which the axes reach beyond all points


def draw_claims(folder: Path) -> None:
    """Draw `certificates-claimed.png` into a folder of rows, where some claim can be judged on other pairs."""
    rows = [row for row in latest(read(folder / "certificates.jsonl")) if is_kappa(row)]
    judged = {
        (side, kind): left_out([row for row in rows if row.get("kind") == kind], side)
        for side in SIDES
        for kind in KINDS
    }
    if not any(judged.values()):
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5.6), layout="constrained")
    pairs = list(dict.fromkeys(row.get("pair") for row in rows))
    for axis, side in zip(axes, SIDES, strict=True):
        known = [each for kind in KINDS for each in judged[side, kind]]
        for kind in KINDS:
            _points(axis, judged[side, kind], side, pairs, hollow=kind != KINDS[0])
        _frame(axis, side, known)
    handles, labels = _legend(axes)
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.savefig(folder / NAME, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _points(
    axis: Any, judged: Sequence[Judged], side: str, pairs: Sequence[str], hollow: bool
) -> None:
    """Draw the claims of one kind on one side, a series for every pair."""
    from matplotlib import pyplot

    colours = pyplot.get_cmap("tab10")
    for k, pair in enumerate(pairs):
        own = [each for each in judged if each.row.get("pair") == pair]
        if not own:
            continue
        true = [_share_of_spread(each.row, side) for each in own]
        claimed = [x * each.claimed for x, each in zip(true, own, strict=True)]
        colour = colours(k % 10)
        axis.plot(
            true,
            claimed,
            SHAPES[k % len(SHAPES)],
            color=colour,
            markerfacecolor="none" if hollow else colour,
            markersize=5,
            alpha=0.8,
            label=f"{pair}, by matchings" if hollow else pair,
        )


def _share_of_spread(row: Row, side: str) -> float:
    """Return the true error of a row in percent of the spread of where it is measured."""
    return float(100 * row.get(f"true_{side}") / row.get(f"spread_{side}"))


def _frame(axis: Any, side: str, judged: Sequence[Judged]) -> None:
    """Draw the lines of a claim that is the truth and of one three times it, and name the axes."""
    true = [_share_of_spread(each.row, side) for each in judged]
    claimed = [x * each.claimed for x, each in zip(true, judged, strict=True)]
    low = min(true + claimed, default=1.0) / AROUND
    high = max(true + claimed, default=100.0) * AROUND
    for times, style in ((1, "-"), (WITHIN, "--")):
        axis.plot(
            [low, high], [times * low, times * high], style, color="0.4", linewidth=1
        )
        words = "claim = error" if times == 1 else f"{times:g} times the error"
        axis.annotate(
            words,
            (low * 1.15, times * low * 1.15),
            rotation=45,
            rotation_mode="anchor",
            transform_rotates_text=True,
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color="0.3",
            clip_on=True,
        )
    axis.set(
        xscale="log", yscale="log", aspect="equal", xlim=(low, high), ylim=(low, high)
    )
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter("{x:g}")
    axis.set_xlabel(f"error of the {side} map, % of the spread")
    axis.set_ylabel("estimated error, kappa from other pairs, %")
    axis.set_title(f"{side} map")
    axis.grid(alpha=0.2)


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    """Return each series once."""
    known: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    return list(known.values()), list(known)
