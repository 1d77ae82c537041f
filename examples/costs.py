"""One data set moved under five costs, and outliers under balanced and unbalanced mass: two pictures.

    python examples/costs.py [COSTS MASSES]        # writes costs.png and masses.png; a few minutes of one core

The first picture: the source is a disc; of the target 60 % are that disc too, and 40 % a smaller one far off. Each
panel shows where the map of one cost puts fresh rows of the source, and the straight lines that some of them take: who
goes, and how much the others make room. The numbers say how far rows move.
The second picture: 5 % of the target are outliers. Under balanced mass the map must serve them; with a price rho of
mass it need not. The last panel shows what it explains for a range of rho, and how wrong the map is.
"""

import math
import os
import sys
import warnings

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from brenier import Elastic, LogCosh, OptimalTransport, Power, UnbalancedMass

QUICK = bool(os.environ.get("BRENIER_EXAMPLE_QUICK"))
ROWS, STEPS = (120, 3) if QUICK else (3000, 400)
PRICES = (1.0, 10.0) if QUICK else (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
GREY, BLUE, RED = "#9a9a9a", "#2b6cb0", "#c53030"
if QUICK:  # so few steps hardly make a map, and it says so
    warnings.filterwarnings("ignore")

COSTS = {
    "squared distance": "squared_euclidean",
    "power 1.2: long moves cost less": Power(1.2),
    "power 3: long moves cost more": Power(3),
    "elastic: few features move": Elastic(sparsity=0.3),
    "log-cosh: nearly linear beyond 1": LogCosh(scale=1.0),
}


def disc(n, rng):
    """Rows of the source."""
    angle, radius = rng.uniform(0, 2 * math.pi, n), np.sqrt(rng.uniform(0, 1, n))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def disc_and_other(n, rng):
    """Rows of the target: most where the source is, the others further right."""
    far = rng.uniform(size=n) < 0.4
    points = disc(n, rng)
    return np.where(far[:, None], 0.6 * points + [3.2, 0.2], points)


def fitted(x, z, **told):
    return OptimalTransport(max_steps=STEPS, random_state=0, **told).fit(x, z)


def draw_costs(file):
    rng = np.random.default_rng(0)
    x, z, fresh = disc(ROWS, rng), disc_and_other(ROWS, rng), disc(600, rng)
    figure = Figure(figsize=(16, 2.2), layout="constrained")
    panels = figure.subplots(1, len(COSTS), sharex=True, sharey=True)
    for axes, (title, cost) in zip(panels, COSTS.items(), strict=True):
        moved = fitted(x, z, cost=cost).transform(fresh)
        ways = np.stack([fresh[:150], moved[:150]], 1)
        axes.add_collection(LineCollection(ways, colors=GREY, linewidths=0.4))
        axes.scatter(*fresh.T, s=2, c=BLUE, linewidths=0)
        axes.scatter(*moved.T, s=2, c=RED, linewidths=0)
        still = float(np.mean(moved == fresh))
        length = np.linalg.norm(moved - fresh, axis=1)
        axes.set_title(
            f"{title}\nmoved by {np.median(length):.2f} (median), {length.max():.2f} at most\n"
            f"{still:.0%} of coordinates unmoved",
            fontsize=8,
        )
        axes.set_aspect("equal")
        axes.axis("off")
    figure.savefig(file, dpi=110)


def with_outliers(n, rng):
    """Rows of a clean target, and of outliers far above them."""
    outlying = rng.uniform(size=n) < 0.05
    clean = rng.normal(size=(n, 2)) * [1.3, 0.7] + [1.5, 0.0]
    far = 0.4 * rng.normal(size=(n, 2)) + [1.5, 10.0]
    return np.where(outlying[:, None], far, clean), outlying


def draw_masses(file):
    rng = np.random.default_rng(1)
    x, fresh = rng.normal(size=(ROWS, 2)), rng.normal(size=(600, 2))
    z, outlying = with_outliers(ROWS, rng)
    truth = fresh * [1.3, 0.7] + [1.5, 0.0]
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    masses = {
        "balanced": "balanced",
        "unbalanced, rho = 5 on both sides": UnbalancedMass(5.0, 5.0),
    }
    for axes, (title, mass) in zip((first, second), masses.items(), strict=True):
        moved = fitted(x, z, mass=mass).transform(fresh)
        ways = np.stack([fresh, moved], 1)[:150]
        axes.add_collection(LineCollection(ways, colors=GREY, linewidths=0.4))
        axes.scatter(*z.T, s=2, c=GREY, linewidths=0)
        axes.scatter(*moved.T, s=3, c=RED, linewidths=0)
        axes.scatter(*fresh.T, s=2, c=BLUE, linewidths=0)
        axes.set_title(title, fontsize=9)
        axes.set_aspect("equal")
        axes.axis("off")
    errors, inside, outside = [], [], []
    for rho in PRICES:
        ot = fitted(x, z, mass=UnbalancedMass(rho, rho))
        explained = ot.map_.explained(z)
        inside.append(explained[~outlying].mean())
        outside.append(explained[outlying].mean())
        away = np.square(ot.transform(fresh) - truth).sum(1).mean()
        errors.append(away / np.square(truth - truth.mean(0)).sum(1).mean())
    third.semilogx(PRICES, inside, "o-", c=BLUE, label="ordinary rows explained")
    third.semilogx(PRICES, outside, "o-", c=RED, label="outliers explained")
    third.semilogx(PRICES, errors, "s--", c=GREY, label="error of the map, of variance")
    third.set_xlabel("rho, in units of the cost")
    third.set_ylim(0, 1.3)
    third.legend(fontsize=8)
    figure.savefig(file, dpi=110)


files = sys.argv[1:] or ["costs.png", "masses.png"]
draw_costs(files[0])
draw_masses(files[1])
print(f"wrote {files[0]} and {files[1]}")
