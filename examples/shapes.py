"""Four shapes become four others: a gallery of maps, each learnt from 1,000 rows a side with the default settings.

    python examples/shapes.py [FILE]        # writes shapes.png, or FILE; a minute or two of one core

One line of panels per job. A colour is a place in the source, and a row keeps its colour wherever it goes:

    source               rows that the map was learnt from
    target               likewise, in grey: nobody says which row of the source belongs to which of the target
    source moved         fresh rows of the source where the map puts them; they should look like the target
    the way              the straight lines that some of them take, from grey to colour; no two rows meet on the way
    target moved back    fresh rows of the target where the inverse puts them; they should look like the source

The map is the one that moves rows the least, in mean square. So neighbours stay neighbours, except where the target
has gaps and the source has none: there the map tears, and the few rows in between are what it could not decide.
"""

import os
import sys
import warnings

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from brenier import OptimalTransport
from brenier.datasets import SHAPES

QUICK = bool(os.environ.get("BRENIER_EXAMPLE_QUICK"))
ROWS, FRESH, STEPS = (100, 100, 5) if QUICK else (1000, 2000, None)
if QUICK:  # so few steps hardly make a map one-to-one, and it says so
    warnings.filterwarnings("ignore", "round trip of")
LINES = 300
GREY = "#9a9a9a"
TITLES = ("source", "target", "source moved", "the way", "target moved back")


def field(points, source):
    """A colour for every place: the hue turns with the angle about the source's mean, and fades towards it."""
    from_mean = (points - source.mean(0)) / source.std(0)
    angle = np.arctan2(from_mean[:, 1], from_mean[:, 0])
    radius = np.minimum(np.hypot(from_mean[:, 0], from_mean[:, 1]) / 1.8, 1)
    return oklch(0.80 - 0.16 * radius, 0.07 + 0.11 * radius, angle + 0.5)


def oklch(lightness, chroma, hue):
    """Colours of even lightness: Oklab in polar coordinates (Ottosson, 2020), to RGB."""
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        -1,
    )
    to_rgb = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = np.clip(cones**3 @ np.transpose(to_rgb), 0, 1)
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )


def learn(pair):
    """Fit a pair; return the rows of every panel of its line."""
    generator = torch.Generator().manual_seed(0)
    x, z = (side(ROWS, generator).numpy() for side in (pair.source, pair.target))
    ot = OptimalTransport(max_steps=STEPS, random_state=0).fit(x, z)
    fresh_x, fresh_z = (
        side(FRESH, generator).numpy() for side in (pair.source, pair.target)
    )
    return x, z, fresh_x, ot.transform(fresh_x), ot.inverse_transform(fresh_z)


def dots(axes, points, colours, size=3.0):
    axes.scatter(*points.T, c=colours, s=size, alpha=0.8, linewidths=0)


def draw(panels, x, z, fresh, moved, back):
    """Draw the line of one job."""
    source, target, image, way, inverse = panels
    colours = field(fresh, x)
    dots(source, x, field(x, x))
    dots(target, z, GREY)
    dots(image, moved, colours)
    dots(inverse, back, field(back, x))
    some = slice(0, LINES)
    ways = np.stack([fresh, moved], 1)[some]
    way.add_collection(LineCollection(ways, colors=colours[some], lw=0.5, alpha=0.55))
    dots(way, fresh[some], GREY, 2.0)
    dots(way, moved[some], colours[some], 5.0)


def frame(*samples):
    """The part of the plane that all panels of a line show: its centre, and half its width and height."""
    points = np.concatenate(samples)
    low, high = points.min(0), points.max(0)
    width, height = 0.53 * (high - low)
    return (low + high) / 2, max(width, height), height


lines = [learn(pair) for pair in SHAPES.values()]
frames = [frame(*line) for line in lines]
shares = [height / width for _, width, height in frames]
size = (10, 2 * sum(shares) + 0.5)
figure = Figure(figsize=size, facecolor="white", layout="constrained")
grid = figure.subplots(len(lines), len(TITLES), height_ratios=shares)
for title, axes in zip(TITLES, grid[0], strict=True):
    axes.set_title(title, fontsize=11)
for name, panels, line, place in zip(SHAPES, grid, lines, frames, strict=True):
    draw(panels, *line)
    panels[0].set_ylabel(name, fontsize=11)
    (x, y), width, height = place
    for axes in panels:
        limits = {"xlim": (x - width, x + width), "ylim": (y - height, y + height)}
        axes.set(aspect="equal", xticks=[], yticks=[], **limits)
        axes.spines[:].set_color("#e4e4e4")
path = sys.argv[1] if len(sys.argv) > 1 else "shapes.png"
figure.savefig(path, dpi=200)
print(f"{path}: {', '.join(SHAPES)}")
