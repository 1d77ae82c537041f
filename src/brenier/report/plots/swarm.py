"""Where agents go, in the plane or in space: a picture of their paths, and one that moves."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brenier.atomic import write_bytes
from brenier.report.plots.canvas import GREY, GRID, Style, blank_figure, write_figure
from brenier.report.plots.control import Numbers, few_ticks, line_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d.axes3d import Axes3D


@dataclasses.dataclass(frozen=True)
class SwarmSettings:
    """How agents are drawn.

    Attributes:
        many: agents beyond which lines and marks are thin, and cast no shadow in space.
        frames: of a moving picture, at most.
        seconds: it lasts, without the rest on its last frame.
        rest: seconds on the last frame.
        tail: the share of the whole time that an agent's tail shows.
        dpi: pixels per inch of a moving picture.
        border: around everything, as a share of the range.
        flattest: an axis shows at least this share of the longest one.
        turn: degrees that the view of space turns by while agents move.
        nearly_white: of a palette, the least of red, green and blue beyond which a colour is made white.
        zoom, zoom_moving: of space in its panel, which must not cut off the names of the axes from any side.
    """

    many: int = 20
    frames: int = 60
    seconds: float = 4.0
    rest: float = 1.5
    tail: float = 0.3
    dpi: int = 80
    border: float = 0.07
    flattest: float = 0.35
    turn: float = 30.0
    nearly_white: int = 248
    zoom: float = 1.0
    zoom_moving: float = 0.85


SWARM = SwarmSettings()


class Paths(NamedTuple):
    """Where agents go.

    Attributes:
        times: (t,).
        places: (t, k, 2 or 3).
        targets: where each should end, (k, 2 or 3), or None.
        title: what is drawn.
    """

    times: Numbers
    places: Numbers
    targets: Numbers | None
    title: str


def paths_picture(paths: Paths, path: str | Path) -> None:
    """Write the paths of agents as a PNG: in the plane; or in space, from above and from the side.

    Raises:
        DataError: where matplotlib is missing.
    """
    low, high = _limits(paths)
    if paths.places.shape[-1] == 2:
        wide, tall = (high - low) / (high - low).max()
        figure = blank_figure(max(6.6 * wide, 3.6) + 0.8, 6.6 * tall + 1.1)
        axes = figure.add_subplot()
        _plane(axes, low, high, (0, 1))
        _whole_paths(axes, paths, (0, 1), low)
    else:
        figure = blank_figure(10.4, 7.2)
        grid = figure.add_gridspec(2, 2, width_ratios=[1.5, 1])
        space = figure.add_subplot(grid[:, 0], projection="3d")
        _space(space, low, high, SWARM.zoom)
        _whole_paths(space, paths, (0, 1, 2), low)
        sides = (("from above", (0, 1)), ("from the side", (0, 2)))
        for row, (name, pair) in enumerate(sides):
            axes = figure.add_subplot(grid[row, 1])
            _plane(axes, low, high, pair)
            _whole_paths(axes, paths, pair, low)
            axes.set_title(name, fontsize=10)
    figure.suptitle(paths.title, fontsize=12)
    place: Style = {"loc": "outside lower center", "ncols": 3}
    figure.legend(handles=_signs(paths), frameon=False, fontsize=9, **place)
    write_figure(figure, path)


def animation(paths: Paths, path: str | Path) -> None:
    """Write a GIF of agents on their way, with tails that fade and the time in the title.

    Raises:
        DataError: where matplotlib is missing.
    """
    low, high = _limits(paths)
    flat = paths.places.shape[-1] == 2
    wide, tall = (high - low)[:2] / (high - low)[:2].max() if flat else (1.0, 0.92)
    figure = blank_figure(max(5.4 * wide, 3.6) + 0.7, 5.4 * tall + 0.7)
    axes = figure.add_subplot(projection=None if flat else "3d")
    picked = np.linspace(0, len(paths.times) - 1, SWARM.frames).round().astype(int)
    pictures = []
    for at in np.unique(picked):
        axes.cla()
        if flat:
            _plane(axes, low, high, (0, 1))
        else:
            share = paths.times[at] / paths.times[-1] - 0.5
            _space(axes, low, high, SWARM.zoom_moving, SWARM.turn * share)
        _moment(axes, paths, int(at), low)
        axes.set_title(f"{paths.title}, t = {paths.times[at]:.2f}", fontsize=11)
        pictures.append(_pixels(figure))
    write_bytes(path, _gif(pictures))


def _limits(paths: Paths) -> tuple[Numbers, Numbers]:
    """Return the lowest and highest corner of a box that holds all paths and targets."""
    axes = paths.places.shape[-1]
    everything = paths.places.reshape(-1, axes)
    if paths.targets is not None:
        everything = np.concatenate([everything, paths.targets])
    everything = everything[np.isfinite(everything).all(-1)]
    low, high = everything.min(0), everything.max(0)
    # Agents that all stay in one place have a frame too.
    longest = float((high - low).max()) or 1.0
    half = np.maximum(high - low, SWARM.flattest * longest) / 2
    half = half + SWARM.border * longest
    centre = (low + high) / 2
    return centre - half, centre + half


def _plane(axes: Axes, low: Numbers, high: Numbers, pair: tuple[int, int]) -> None:
    """Prepare a panel of two axes of the box."""
    i, j = pair
    axes.set(xlim=(low[i], high[i]), ylim=(low[j], high[j]), aspect="equal")
    axes.set(xlabel=f"x{i + 1}", ylabel=f"x{j + 1}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _space(
    axes: Axes3D, low: Numbers, high: Numbers, zoom: float, turn: float = 0.0
) -> None:
    """Prepare a panel of space."""
    limits: Style = {f"{name}lim": (low[i], high[i]) for i, name in enumerate("xyz")}
    axes.set(**limits, xlabel="x1", ylabel="x2", zlabel="x3")
    axes.set_box_aspect(high - low, zoom=zoom)
    axes.view_init(elev=22, azim=-58 + turn)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color("white")
        axis._axinfo["grid"].update(color="#E4E4E4", linewidth=0.6)
        axis.set_major_locator(few_ticks(5))
    axes.tick_params(labelsize=8)


def _whole_paths(axes: Axes, paths: Paths, kept: tuple[int, ...], low: Numbers) -> None:
    """Draw whole paths, their starts and ends, and the targets, on some of the axes."""
    places = paths.places[..., kept]
    count = places.shape[1]
    many = count > SWARM.many
    width, size = (0.8, 2.5) if many else (1.6, 5.0)
    for k, colour in enumerate(line_colours(count)):
        way = places[:, k].T
        if len(kept) == 3 and not many:
            floor = np.full(way.shape[1], low[2])
            axes.plot(way[0], way[1], floor, color="#DDDDDD", lw=1.0)
        axes.plot(*way, color=colour, lw=width, alpha=0.9)
        axes.plot(*way[:, :1], "o", color=colour, ms=size, mfc="white", mew=1.2)
        axes.plot(*way[:, -1:], "o", color=colour, ms=size)
    _targets(axes, paths, kept)


def _targets(axes: Axes, paths: Paths, kept: tuple[int, ...]) -> None:
    """Draw the targets as crosses, black where they are one place."""
    if paths.targets is None:
        return
    many = len(paths.targets) > SWARM.many
    size, width = (5, 1.0) if many else (9, 1.6)
    places = paths.targets[:, kept]
    same = bool((places == places[0]).all())
    colours = ["black"] if same else line_colours(len(places))
    for place, colour in zip(places, colours, strict=False):
        axes.plot(*place[:, None], "x", color=colour, ms=size, mew=width)


def _moment(axes: Axes, paths: Paths, at: int, low: Numbers) -> None:
    """Draw agents at one time, with tails that fade."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgb
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    _, count, dim = paths.places.shape
    many, colours = count > SWARM.many, line_colours(count)
    kept = tuple(range(dim))
    first = max(0, at - round(SWARM.tail * len(paths.times)))
    tail = paths.places[first : at + 1]
    if len(tail) > 1:
        pieces = np.stack([tail[:-1], tail[1:]], 2).swapaxes(0, 1)
        fade = np.linspace(0, 0.9, len(tail) - 1)
        shades = [[(*to_rgb(colour), alpha) for alpha in fade] for colour in colours]
        kind = LineCollection if dim == 2 else Line3DCollection
        lines = kind(
            list(pieces.reshape(-1, 2, dim)),
            colors=[shade for each in shades for shade in each],
            linewidths=1.0 if many else 2.2,
        )
        axes.add_collection(lines, **({"autolim": False} if dim == 3 else {}))
    now = paths.places[at]
    size = 12.0 if many else 40.0
    style: Style = {"edgecolors": "white", "linewidths": 0.6}
    if dim == 3:
        shadow = [now[:, 0], now[:, 1], np.full(count, low[2])]
        pale: Style = {"s": size / 2, "color": "#DDDDDD", "lw": 0}
        axes.scatter(*shadow, **pale)
        style["depthshade"] = False
    style |= {"s": size, "c": list(colours), "zorder": 3}
    axes.scatter(*now.T, **style)
    _targets(axes, paths, kept)


def _signs(paths: Paths) -> list[Any]:
    """Return what a legend shows: start, end and target."""
    from matplotlib.lines import Line2D

    signs: list[tuple[str, Style]] = [
        ("start", {"marker": "o", "mfc": "white"}),
        ("end", {"marker": "o"}),
    ]
    if paths.targets is not None:
        signs.append(("target", {"marker": "x", "ms": 8, "mew": 1.6}))
    plain: Style = {"color": GREY, "lw": 0}
    return [Line2D([], [], label=name, **{**plain, **how}) for name, how in signs]


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure as pixels: (height, width, 3)."""
    figure.set_dpi(SWARM.dpi)
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _gif(pictures: list[NDArray[np.uint8]]) -> bytes:
    """Return a GIF that runs for ever; all pictures share the colours of the last one, so that nothing flickers."""
    from PIL import Image

    frames = [Image.fromarray(each) for each in pictures]
    # A tail's pale end is not in the last picture: the middle one, beside it, brings its colours.
    sample = np.concatenate([pictures[len(pictures) // 2], pictures[-1]])
    palette = Image.fromarray(sample).quantize(128)
    colours = np.array(palette.getpalette(), dtype=int).reshape(-1, 3)
    colours[colours.min(1) > SWARM.nearly_white] = 255  # the ground is white
    still = Image.Dither.NONE
    drawn = [each.quantize(palette=palette, dither=still) for each in frames]
    for frame in drawn:
        frame.putpalette(colours.ravel().tolist())
    each = max(20, round(1000 * SWARM.seconds / len(drawn) / 10) * 10)
    durations = [each] * (len(drawn) - 1) + [round(1000 * SWARM.rest)]
    stream = io.BytesIO()
    drawn[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=drawn[1:],
        duration=durations,
        loop=0,
        optimize=False,
    )
    return stream.getvalue()
