"""One problem in the plane under every method, as one picture: `docs/baselines.jpg`.

    python -m benchmarks.rivals.gallery                 # twenty seconds a method
    python -m benchmarks.rivals.gallery --seconds 2 --out FOLDER --methods not linear

From N(0, I), 2,000 rows, to eight Gaussians on a circle, 2,000 rows; the classes of methods that need some are the left
and the right half of either side. Every panel shows where the same 500 rows are moved, each in the colour of the
direction it comes from, lines from some of them, and the target in grey. Above stand the energy distance of moved rows
to the target, in thousandths, and the mean squared move: of two maps that fit, the one that moves less is nearer to the
optimal one.
"""

from __future__ import annotations

import argparse
import inspect
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness.budgets import in_processor_seconds
from benchmarks.harness.machine import ROOT
from brenier import OptimalTransport
from brenier.baselines import BASELINES, CharacteristicFlow, LearnedBaseline
from brenier.metrics import energy_distance

NAMES = ("default", "characteristic-flow", *BASELINES)
ROWS, SHOWN, LINES, COLUMNS = 2000, 500, 40, 6


def eight_gaussians(n: int, generator: torch.Generator) -> Tensor:
    """Return rows near eight points of a circle: (n, 2)."""
    angle = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centres = torch.stack([angle.cos(), angle.sin()], -1) * 3
    return centres + 0.25 * torch.randn(n, 2, generator=generator)


def moved_by(name: str, x: Tensor, z: Tensor, fresh: Tensor, seconds: float) -> Tensor:
    """Return fresh rows moved by a method fitted to samples (n, 2), (m, 2)."""
    if name == "default":
        ot = OptimalTransport(max_time=seconds, random_state=0).fit(x, z)
        return ot.transform(fresh)
    if name == "characteristic-flow":
        flow = CharacteristicFlow(max_time=seconds, random_state=0).fit(x, z)
        return flow.transform(fresh).detach()
    kind = BASELINES[name]
    known = inspect.signature(kind).parameters
    told: dict[str, Any] = {"random_state": 0} if "random_state" in known else {}
    if issubclass(kind, LearnedBaseline):
        told["max_time"] = seconds
    labels = {"source_labels": half(x), "target_labels": half(z)}
    takes = "source_labels" in inspect.signature(kind.fit).parameters
    estimator = kind(**told).fit(x, z, **(labels if takes else {}))
    given = "labels" in inspect.signature(estimator.transform).parameters
    found = estimator.transform(fresh, **({"labels": half(fresh)} if given else {}))
    return torch.as_tensor(found).detach()


def half(rows: Tensor) -> np.ndarray:
    """Return the class of every row: (n,)."""
    return np.where(rows[:, 0].numpy() < 0, "left", "right")


def draw(names: Sequence[str], seconds: float, path: Path) -> None:
    """Fit every method and draw its panel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 2, generator=generator)
    z = eight_gaussians(ROWS, generator)
    fresh = torch.randn(ROWS, 2, generator=generator)
    other = eight_gaussians(ROWS, generator)
    lines = math.ceil(len(names) / COLUMNS)
    size = (2.6 * COLUMNS, 2.9 * lines)
    figure, axes = pyplot.subplots(
        lines, COLUMNS, figsize=size, layout="constrained", squeeze=False
    )
    colours = torch.atan2(fresh[:, 1], fresh[:, 0])[:SHOWN]
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, names, strict=False):
        began = time.process_time()
        with in_processor_seconds():
            moved = moved_by(name, x, z, fresh, seconds)
        energy = energy_distance(moved, other)
        cost = float((moved - fresh).square().sum(-1).mean())
        took = time.process_time() - began
        print(f"{name}: energy {energy:.1e}, cost {cost:.2f}, {took:.1f} s", flush=True)
        axis.scatter(*other[:SHOWN].T, s=3, color="0.8")
        for start, end in zip(fresh[:LINES], moved[:LINES], strict=True):
            axis.plot(*torch.stack([start, end]).T, color="0.6", linewidth=0.4)
        axis.scatter(*moved[:SHOWN].T, s=4, c=colours, cmap="hsv")
        axis.set(xlim=(-4.2, 4.2), ylim=(-4.2, 4.2), aspect="equal")
        axis.set_title(f"{name}\n{1e3 * energy:.1f}  {cost:.2f}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70, pil_kwargs={"quality": 75})
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    flags = parser.parse_args(arguments)
    torch.set_num_threads(1)
    draw(flags.methods, flags.seconds, flags.out / "baselines.jpg")


if __name__ == "__main__":
    main()
