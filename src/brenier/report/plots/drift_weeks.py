"""Weeks one after another: how far each is from the reference, and whether it drifted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from brenier.report.plots.canvas import (
    GREY,
    MOVED,
    SOURCE,
    Style,
    new_figure,
    write_figure,
)
from brenier.report.plots.drift import drawn_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class WeekPlotSettings:
    """How weeks are named.

    Attributes:
        max_names: weeks whose names are all written; of more, some.
        line: signs of all names together that the axis has room for; more are written aslant.
    """

    max_names: int = 16
    line: int = 60


WEEK_PLOT = WeekPlotSettings()


class WeekMark(NamedTuple):
    """A week: its distance from the reference with an interval, and its p-value; None for what is not known."""

    name: str
    w2: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    drifted: bool


def weeks_chart(weeks: Sequence[WeekMark], level: float, path: str | Path) -> None:
    """Write the distance of weeks from the reference with intervals, and their p-values below; alarms are marked.

    Args:
        weeks: in their order, at least one.
        level: of the test; weeks whose p-value is not above it are alarms.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    measured = any(each.w2 is not None for each in weeks)
    count = 1 + measured
    ratios = [3, 2][:count] if measured else [1]
    figure, panels = new_figure(
        count,
        max(5.5, min(11.0, 2.5 + 0.5 * len(weeks))),
        4.8 if measured else 3.0,
        rows=count,
        share_x=True,
        height_ratios=ratios,
    )
    if measured:
        _week_distances(panels[0], weeks)
    _week_p_values(panels[-1], weeks, level)
    _name_weeks(panels[-1], weeks)
    handles, labels = panels[-1].get_legend_handles_labels()
    place: Style = {"loc": "outside upper left", "ncols": 3}
    figure.legend(handles, labels, frameon=False, fontsize=9, **place)
    write_figure(figure, path)


def _week_distances(axes: Axes, weeks: Sequence[WeekMark]) -> None:
    """Draw distances with their intervals."""
    for place, each in enumerate(weeks):
        if each.w2 is None:
            continue
        colour = MOVED if each.drifted else SOURCE
        if each.interval is not None:
            axes.vlines(place, *each.interval, color=colour, lw=1.6)
        face = colour if each.drifted else "white"
        style: Style = {"ms": 7, "mec": colour, "mfc": face, "mew": 1.5}
        style |= {"clip_on": False, "zorder": 3}
        axes.plot(place, each.w2, "D" if each.drifted else "o", **style)
    axes.set_ylabel("W2, 95 % interval")
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")


def _week_p_values(axes: Axes, weeks: Sequence[WeekMark], level: float) -> None:
    """Draw adjusted p-values on a logarithmic axis, and the level."""
    axes.set_yscale("log")
    known = [each.p_value for each in weeks if each.p_value is not None]
    for drifted, colour, sign, label in (
        (True, MOVED, "D", "drift"),
        (False, SOURCE, "o", "no drift can be seen"),
    ):
        points = [
            (place, each.p_value)
            for place, each in enumerate(weeks)
            if each.drifted == drifted and each.p_value is not None
        ]
        if points:
            face = colour if drifted else "white"
            style: Style = {"ms": 7, "mec": colour, "mfc": face, "mew": 1.5}
            axes.plot(*zip(*points, strict=True), sign, label=label, **style)
    axes.axhline(level, color=GREY, lw=1.2, ls="--", label=f"level {level:g}")
    axes.set_ylim(min([*known, level]) / 2, 1.6)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("p-value, adjusted" if len(weeks) > 1 else "p-value")
    axes.grid(visible=False, axis="x")


def _name_weeks(axes: Axes, weeks: Sequence[WeekMark]) -> None:
    """Write the names of weeks below the axis, some of them where there are many."""
    step = math.ceil(len(weeks) / WEEK_PLOT.max_names)
    places = list(range(0, len(weeks), step))
    names = [drawn_name(weeks[place].name) for place in places]
    crowded = len(weeks) * max(map(len, names)) > WEEK_PLOT.line
    turned: Style = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, names, fontsize=8, **(turned if crowded else {}))
    axes.set_xlim(-0.6, len(weeks) - 0.4)
