"""What drift looks like: how far each feature moved, and its distributions. Weeks are in `drift_weeks`."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brenier.report.plots.canvas import (
    GREY,
    LIGHT,
    MOVED,
    SOURCE,
    Style,
    new_figure,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class DriftPlotSettings:
    """How much the figures of drift show.

    Attributes:
        max_features: features that the chart of displacements has room for.
        max_panels: features whose two distributions are drawn.
        panels_beside: panels of distributions side by side.
        max_categories: categories of a panel; rarer ones are added up.
        max_name, max_label: signs of a feature's or week's name, and of a category's; the middle of longer ones is left
            out.
        max_note: signs of a line of what is said of a feature, which has two at most.
        decades: largest displacement over the median noise floor, beyond which the axis is logarithmic.
    """

    max_features: int = 20
    max_panels: int = 6
    panels_beside: int = 3
    max_categories: int = 8
    max_name: int = 28
    max_label: int = 20
    max_note: int = 42
    decades: float = 30.0


DRIFT_PLOT = DriftPlotSettings()


class FeatureMark(NamedTuple):
    """A feature in the chart of displacements: how far it moved, how far by chance, and whether it did move.

    None stands for what is not known.
    """

    name: str
    displacement: float | None
    noise_floor: float | None
    p_value: float | None
    moved: bool


class Spread(NamedTuple):
    """The distribution of a feature before and now.

    Attributes:
        name: of the feature.
        note: below the name, a few words.
        edges: (k + 1,), of the bins of a number; or None for categories.
        labels: (k,), of the categories; none for numbers.
        before, now: (k,), the shares of the rows in each bin or category.
    """

    name: str
    note: str
    edges: NDArray[np.floating] | None
    labels: Sequence[str]
    before: NDArray[np.floating]
    now: NDArray[np.floating]


def displacement_chart(
    features: Sequence[FeatureMark], unit: str, path: str | Path
) -> None:
    """Write how far features moved beside how far they move by chance, in the order given, the first on top.

    Args:
        features: at least one; of very many the first `DriftPlotSettings.max_features` are drawn.
        unit: of displacements, in words.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    shown = features[: DRIFT_PLOT.max_features]
    figure, (axes,) = new_figure(1, 7.5, 1.5 + 0.3 * len(shown))
    places = np.arange(len(shown))
    floors = _known_numbers([each.noise_floor for each in shown])
    moves = _known_numbers([each.displacement for each in shown])
    start = _logarithmic(axes, moves, floors)
    axes.barh(
        places,
        np.maximum(floors, start) - start,
        left=start,
        height=0.56,
        color=LIGHT,
        label="noise floor: as far as chance takes it",
    )
    ends = np.maximum(moves, start)
    for moved, colour, label in (
        (True, MOVED, "moved"),
        (False, GREY, "no move can be seen"),
    ):
        chosen = np.array(
            [each.moved == moved and each.displacement is not None for each in shown]
        )
        if chosen.any():
            axes.hlines(places[chosen], start, ends[chosen], color=colour, lw=1.4)
            face = colour if moved else "white"
            style: Style = {"ms": 6.5, "mec": colour, "mfc": face, "mew": 1.4}
            style |= {"clip_on": False, "zorder": 3, "label": label}
            axes.plot(ends[chosen], places[chosen], "o", **style)
    for place, each in enumerate(shown):
        where: Style = {"transform": axes.get_yaxis_transform(), "va": "center"}
        text, colour = p_text(each.p_value), MOVED if each.moved else GREY
        axes.text(1.015, place, text, fontsize=8, color=colour, **where)
    axes.set_yticks(places, [drawn_name(each.name) for each in shown], fontsize=9)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    few = len(shown) < len(features)
    which = f"\nthe first {len(shown)} of {len(features)} features" if few else ""
    axes.set_xlabel(f"displacement ({unit}){which}")
    figure.legend(loc="outside upper left", frameon=False, ncols=3, fontsize=9)
    write_figure(figure, path)


def distributions(spreads: Sequence[Spread], path: str | Path) -> None:
    """Write the distributions of features before and now, a panel each: histograms, or bars of shares.

    Args:
        spreads: at least one; `DriftPlotSettings.max_panels` are drawn.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    shown = spreads[: DRIFT_PLOT.max_panels]
    beside = min(len(shown), DRIFT_PLOT.panels_beside)
    rows = math.ceil(len(shown) / beside)
    width = 3.4 * max(beside, 1.5)
    figure, panels = new_figure(beside * rows, width, 0.5 + 2.7 * rows, rows=rows)
    for axes, spread in zip(panels, shown, strict=False):
        if spread.edges is None:
            _category_bars(axes, spread)
        else:
            _histogram(axes, spread, spread.edges)
        axes.set_title(drawn_name(spread.name), fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    place: Style = {"loc": "outside upper left", "ncols": 2}
    figure.legend(handles, labels, frameon=False, fontsize=9, **place)
    write_figure(figure, path)


def short_name(name: str, most: int = DRIFT_PLOT.max_name) -> str:
    """Return a name as one line of so many signs at most, the middle of a long one left out.

    >>> short_name("temperature of the second bearing, degrees")
    'temperature of…ring, degrees'
    """
    line = " ".join(name.split())
    if len(line) > most:
        half = (most - 1) // 2
        line = f"{line[: most - 1 - half]}…{line[-half:]}"
    return line


def drawn_name(name: str, most: int = DRIFT_PLOT.max_name) -> str:
    """Return a short name as figures write it, in which a dollar sign would begin a formula."""
    return short_name(name, most).replace("$", r"\$")


def p_text(p_value: float | None) -> str:
    """Return a p-value as figures show it.

    >>> p_text(0.001), p_text(0.25), p_text(1.0)
    ('p = .001', 'p = .25', 'p = 1')
    """
    if p_value is None:
        return "p: –"
    return f"p = {p_value:.2g}".replace("0.", ".", 1)


def _wrapped(note: str) -> str:
    """Return what is said of a feature in lines that a panel has room for."""
    text = drawn_name(note, 2 * DRIFT_PLOT.max_note - 8)
    return textwrap.fill(text, DRIFT_PLOT.max_note)


def _known_numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return numbers, zero for those that are not known: (n,)."""
    return np.array([value or 0.0 for value in values], dtype=np.float64)


def _logarithmic(
    axes: Axes, moves: NDArray[np.float64], floors: NDArray[np.float64]
) -> float:
    """Make the axis logarithmic where one feature would shrink all others; return where it starts."""
    positive = floors[floors > 0]
    if not len(positive) or moves.max() <= DRIFT_PLOT.decades * np.median(positive):
        axes.set_xlim(0, 1.06 * max(moves.max(), floors.max(), 1e-12))
        return 0.0
    seen = np.concatenate([positive, moves[moves > 0]])
    start = float(np.median(positive) / 5)
    start = max(start, float(seen.min()) / 1.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(start, 1.3 * moves.max())
    return start


def _histogram(axes: Axes, spread: Spread, edges: NDArray[np.floating]) -> None:
    """Draw the shares of bins, before and now."""
    fill: Style = {"fill": True, "color": SOURCE, "alpha": 0.3, "lw": 0}
    axes.stairs(spread.before, edges, label="reference", **fill)
    axes.stairs(spread.now, edges, color=MOVED, lw=1.6, label="now")
    axes.set_ylim(0, 1.08 * max(spread.before.max(), spread.now.max(), 1e-12))
    axes.set_xlabel(_wrapped(spread.note), fontsize=8, color=GREY)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    axes.locator_params(axis="both", nbins=5)


def _category_bars(axes: Axes, spread: Spread) -> None:
    """Draw the shares of categories, before and now, the most frequent on top."""
    labels, before, now = _most_frequent(spread)
    places = np.arange(len(labels))
    axes.barh(places - 0.2, before, 0.38, color=SOURCE, alpha=0.3, label="reference")
    plain: Style = {"fill": False, "edgecolor": MOVED, "lw": 1.4}
    axes.barh(places + 0.2, now, 0.38, label="now", **plain)
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(_wrapped(spread.note), fontsize=8, color=GREY)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    axes.locator_params(axis="x", nbins=5)


def _most_frequent(
    spread: Spread,
) -> tuple[list[str], NDArray[np.floating], NDArray[np.floating]]:
    """Return the labels and shares of the most frequent categories, all others added up in the last."""
    order = np.argsort(-np.maximum(spread.before, spread.now), kind="stable")
    labels = [drawn_name(spread.labels[k], DRIFT_PLOT.max_label) for k in order]
    before, now = spread.before[order], spread.now[order]
    most = DRIFT_PLOT.max_categories
    if len(labels) <= most:
        return labels, before, now
    rest = len(labels) - (most - 1)
    first, second = (
        np.append(side[: most - 1], side[most - 1 :].sum()) for side in (before, now)
    )
    return [*labels[: most - 1], f"{rest} others"], first, second
