"""How a policy of control was trained, what it does over time, and slices of its value function."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.report.plots.canvas import (
    CLASS_COLOURS,
    GREY,
    LIGHT,
    MOVED,
    SOURCE,
    Style,
    new_figure,
    write_figure,
)
from brenier.report.plots.training import History, seconds_axis, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

Numbers: TypeAlias = NDArray[np.floating]
# A name, or red, green and blue.
Colour: TypeAlias = str | tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class CourseSettings:
    """How courses over time and value functions are drawn.

    Attributes:
        decades: the largest over the least cost of a training, beyond which its axis is logarithmic.
        darker: factor on the colours of a scale, whose brightest ones are hard to see as lines.
        max_legend: lines of a panel that a legend has room for.
        max_lines: lines of a panel, beyond which their range and median are drawn.
        levels: of the contours of a value function, about.
        shown: percent of a slice whose values have a colour of their own; a few corners may be far above.
    """

    decades: float = 10.0
    darker: float = 0.9
    max_legend: int = 6
    max_lines: int = 24
    levels: int = 14
    shown: float = 93.0


COURSES = CourseSettings()
FAINT = "#F0E442"  # of the class colours, as a line on white


class Course(NamedTuple):
    """One panel of values over time.

    Attributes:
        title: what is drawn.
        names: of the lines, (k,).
        times: (t,).
        values: (t, k).
        known: the same where the control is optimal, (t, k), or None.
        held: whether values are held from one time to the next.
    """

    title: str
    names: Sequence[str]
    times: Numbers
    values: Numbers
    known: Numbers | None = None
    held: bool = False


class ValueSlice(NamedTuple):
    """The value function at one time, over one or two states around the mean trajectory.

    Attributes:
        time: t.
        axes: values of either state: one or two arrays (k,).
        values: beyond that at the mean trajectory's point, (k,), or (k of the second state, k of the first one).
        known: the same of the known value function, or None.
        states: where trajectories are at that time, (n, 1 or 2).
        mean: the mean trajectory at all times, (t, 1 or 2).
        point: where it is at that time, (1 or 2,).
    """

    time: float
    axes: Sequence[Numbers]
    values: Numbers
    known: Numbers | None
    states: Numbers
    mean: Numbers
    point: Numbers


def line_colours(count: int) -> Sequence[Colour]:
    """Return colours for so many lines or agents, which people can tell apart where they are few."""
    strong = [colour for colour in CLASS_COLOURS if colour != FAINT]
    if count <= len(strong):
        return strong[:count]
    from matplotlib import colormaps

    shades = colormaps["turbo"](np.linspace(0.06, 0.94, count))[:, :3]
    return [(r, g, b) for r, g, b in (COURSES.darker * shades).tolist()]


def control_training(history: History, path: str | Path) -> None:
    """Write the mean cost against training steps, and the share of controls that did not converge.

    Args:
        history: rows of `OptimalControl.history_`, at least one.
        path: where to write the PNG.

    Raises:
        DataError: where the history is empty or matplotlib is missing.
    """
    step, value = series(history, "step"), series(history, "value")
    error, batches = series(history, "standard_error"), series(history, "train_cost")
    figure, (above, below) = new_figure(
        2, 7.0, 5.2, rows=2, share_x=True, height_ratios=[3, 1]
    )
    above.plot(step, batches, color=LIGHT, lw=1.4, label="training batches")
    band: Style = {"color": SOURCE, "alpha": 0.2, "lw": 0}
    above.fill_between(
        step, value - error, value + error, label="± one standard error", **band
    )
    held_out = "held-out initial states"
    above.plot(step, value, color=SOURCE, lw=1.8, marker="o", ms=3, label=held_out)
    if np.isfinite(value).any():
        best = int(np.nanargmin(np.where(np.isfinite(value), value, np.inf)))
        ring: Style = {"ms": 9, "mfc": "none", "mec": MOVED, "mew": 1.8}
        label = f"best: {value[best]:.4g} at step {step[best]:.0f}"
        above.plot(step[best], value[best], "o", label=label, **ring)
    shown = np.concatenate([value, batches])
    shown = shown[np.isfinite(shown)]
    if shown.size and shown.min() > 0 and shown.max() > COURSES.decades * shown.min():
        above.set_yscale("log")
    above.set(ylabel="mean cost of a trajectory")
    above.legend(frameon=False, fontsize=9)
    shares = series(history, "held_out_unconverged"), series(history, "unconverged")
    for share, colour in zip(shares, (SOURCE, MOVED), strict=True):
        below.plot(step, 100 * share, color=colour, lw=1.8, drawstyle="steps-pre")
    below.set(xlabel="training step", ylabel="unconverged\ncontrols (%)")
    most = float(np.nanmax(np.concatenate(shares), initial=0))
    below.set_ylim(0, 110 * most if most else 1)
    if not most:
        where: Style = {"ha": "center", "va": "center", "transform": below.transAxes}
        below.text(0.5, 0.5, "every control converged", color=GREY, **where)
    seconds_axis(above, step, series(history, "seconds"))
    write_figure(figure, path)


def courses(panels: Sequence[Course], title: str, path: str | Path) -> None:
    """Write panels of values over time, one above the other in one or two columns.

    Args:
        panels: at least one.
        title: of the figure.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    columns = 1 if len(panels) < 3 else 2
    rows = -(-len(panels) // columns)
    figure, axes_list = new_figure(
        rows * columns, 5.4 * columns, 2.3 * rows + 0.7, rows=rows, share_x=True
    )
    for axes in axes_list[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(axes_list, panels, strict=False):
        _course(axes, panel)
    for axes in axes_list[max(0, len(panels) - columns) : len(panels)]:
        axes.set_xlabel("time")
        axes.tick_params(labelbottom=True)
    figure.suptitle(title, fontsize=12)
    write_figure(figure, path)


def _course(axes: Axes, panel: Course) -> None:
    """Draw one panel: lines, or where there are very many what they have in common."""
    style = "steps-post" if panel.held else "default"
    count = len(panel.names)
    if count > COURSES.max_lines:
        _band_of_lines(axes, panel)
        return
    colours, few = line_colours(count), count <= COURSES.max_legend
    for k, (name, colour) in enumerate(zip(panel.names, colours, strict=True)):
        line: Style = {"color": colour, "drawstyle": style}
        label, width = (name, 1.8) if few else (None, 1.1)
        axes.plot(panel.times, panel.values[:, k], lw=width, label=label, **line)
        if panel.known is not None:
            dashes: Style = {"ls": (0, (4, 2)), "lw": 1.2, "alpha": 0.75}
            axes.plot(panel.times, panel.known[:, k], **line, **dashes)
    told = panel.title if few else f"{panel.title}, {count} lines"
    axes.set_title(told, fontsize=10, loc="left")
    axes.margins(x=0.01)
    if panel.known is not None:
        axes.plot([], [], color=GREY, ls=(0, (4, 2)), lw=1.2, label="known optimum")
    if (few and count > 1) or panel.known is not None:
        beside: Style = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axes.legend(frameon=False, fontsize=8, handlelength=1.6, **beside)


def _band_of_lines(axes: Axes, panel: Course) -> None:
    """Draw the range, the middle half and the median of many lines."""
    step = "post" if panel.held else None
    low, first, middle, third, high = np.quantile(
        panel.values, [0, 0.25, 0.5, 0.75, 1], axis=1
    )
    bands = ((low, high, 0.15, "all"), (first, third, 0.3, "the middle half"))
    for lower, upper, alpha, label in bands:
        look: Style = {"color": SOURCE, "alpha": alpha, "lw": 0, "step": step}
        axes.fill_between(panel.times, lower, upper, label=label, **look)
    style = "steps-post" if panel.held else "default"
    look = {"color": SOURCE, "lw": 1.6, "drawstyle": style, "label": "median"}
    axes.plot(panel.times, middle, **look)
    title = f"{panel.title}, {len(panel.names)} lines"
    axes.set_title(title, fontsize=10, loc="left")
    axes.margins(x=0.01)
    beside: Style = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axes.legend(frameon=False, fontsize=8, handlelength=1.6, **beside)


def nearest_agents(times: Numbers, distances: Numbers, path: str | Path) -> None:
    """Write the distance between the two nearest agents over time.

    Args:
        times: (t,).
        distances: from every initial state, (t, n).
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    figure, (axes,) = new_figure(1, 7.0, 3.4)
    least, middle = distances.min(1), np.median(distances, 1)
    band: Style = {"color": SOURCE, "alpha": 0.2, "lw": 0}
    label = "all initial states"
    axes.fill_between(times, least, distances.max(1), label=label, **band)
    axes.plot(times, middle, color=SOURCE, lw=1.8, label="median")
    at = int(least.argmin())
    label = f"least of all: {least[at]:.3g}"
    axes.plot(times[at], least[at], "o", color=MOVED, ms=6, label=label)
    axes.set(xlabel="time", ylabel="distance")
    axes.set_title("Distance between the two nearest agents", fontsize=12)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize=9)
    write_figure(figure, path)


def value_slices(
    slices: Sequence[ValueSlice], names: Sequence[str], path: str | Path
) -> None:
    """Write slices of a value function side by side, one for each time.

    Args:
        slices: at least one.
        names: of the one or two states.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    flat = len(names) == 1
    width = 3.7 * len(slices)
    figure, axes_list = new_figure(len(slices), width, 3.6 if flat else 4.5)
    for axes, each in zip(axes_list, slices, strict=True):
        (_value_line if flat else _value_contours)(axes, each)
        axes.set_title(f"t = {each.time:.3g}", fontsize=11)
        axes.set_xlabel(names[0])
    axes_list[0].set_ylabel("value" if flat else names[1])
    handles, labels = axes_list[0].get_legend_handles_labels()
    place: Style = {"loc": "outside lower center", "ncols": len(labels)}
    figure.legend(handles, labels, frameon=False, fontsize=9, markerscale=1.3, **place)
    title = "Value function around the mean trajectory, less its value there"
    figure.suptitle(title, fontsize=12)
    write_figure(figure, path)


def _value_line(axes: Axes, each: ValueSlice) -> None:
    """Draw a value function of one state."""
    axes.plot(each.axes[0], each.values, color=SOURCE, lw=1.8, label="learnt")
    if each.known is not None:
        dashes: Style = {"ls": (0, (4, 2)), "lw": 1.4, "color": GREY}
        axes.plot(each.axes[0], each.known, label="known", **dashes)
    axes.plot(each.point, [0.0], "o", color=MOVED, ms=7, label="mean trajectory")
    floor = axes.get_xaxis_transform()
    marks: Style = {"color": GREY, "ms": 8, "alpha": 0.5, "transform": floor}
    ground = np.zeros(len(each.states))
    axes.plot(each.states[:, 0], ground, "|", label="trajectories", **marks)


def _value_contours(axes: Axes, each: ValueSlice) -> None:
    """Draw a value function of two states."""
    axes.grid(False)
    low, high = np.nanpercentile(each.values, [0, COURSES.shown])
    levels = few_ticks(COURSES.levels).tick_values(float(low), float(high))
    look: Style = {"cmap": "viridis", "alpha": 0.9, "extend": "max"}
    drawn = axes.contourf(*each.axes, each.values, levels, **look)
    if each.known is not None:
        thin: Style = {"colors": "white", "linewidths": 0.9, "linestyles": "dashed"}
        axes.contour(*each.axes, each.known, levels=drawn.levels, **thin)
        axes.plot([], [], color=LIGHT, ls="dashed", lw=1, label="known value function")
    dots: Style = {"s": 7, "color": "white", "alpha": 0.8, "lw": 0.3, "edgecolor": GREY}
    axes.scatter(*each.states.T, label="trajectories at that time", **dots)
    axes.plot(*each.mean.T, color=MOVED, lw=1.8, label="mean trajectory")
    ring: Style = {"mec": "white", "mew": 1.2, "ms": 8, "color": MOVED}
    axes.plot(*each.point, "o", label="its point at that time", **ring)
    axes.set(xlim=each.axes[0][[0, -1]], ylim=each.axes[1][[0, -1]])
    axes.set_box_aspect(1)
    bar: Style = {"orientation": "horizontal", "pad": 0.02, "shrink": 0.9, "aspect": 28}
    scale = axes.figure.colorbar(drawn, ax=axes, **bar)
    scale.set_ticks(levels[:: max(1, len(levels) // 5)])
    scale.ax.tick_params(labelsize=8)


def few_ticks(count: int) -> MaxNLocator:
    """Return a choice of so many round numbers at most."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count)
