"""Pictures of a fitted map: test rows beside generated ones, and returned test rows beside N(0, I)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.methods import PhysicsFit
from benchmarks.physics.tables import PhysicsTable

ROWS = 5_000
BINS = 90
# The features that are shown: those that look least like a normal law.
SHOWN = {
    "power": (0, 1),
    "power-time": (0, 1),
    "gas": (0, 7),
    "hepmass": (0, 1),
    "miniboone": (0, 1),
    "bsds300": (0, 1),
}


def draw(table: PhysicsTable, fitted: PhysicsFit, path: Path) -> None:
    """Write the picture: densities of two features, real and generated, and of two latents, normal and returned."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    real = table.test[:ROWS].double()
    generator = torch.Generator().manual_seed(7)
    made = fitted.draw(len(real), generator).double()
    shown = list(SHOWN[table.name])
    panels = [("test rows", real[:, shown]), ("generated", made[:, shown])]
    if fitted.backward is not None:
        normal = torch.randn(len(real), 2, generator=generator, dtype=torch.float64)
        latent = fitted.backward(real).double()[:, shown]
        panels += [("N(0, I)", normal), ("test rows returned", latent)]
    figure = Figure(figsize=(3.0 * len(panels), 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    for k, (axes, (title, rows)) in enumerate(
        zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True)
    ):
        least, most = window(panels[k - k % 2][1])
        edges = [np.linspace(least[j], most[j], BINS + 1) for j in (0, 1)]
        across, up = rows.numpy().T
        counts, *_ = np.histogram2d(across, up, bins=edges)
        axes.pcolormesh(*edges, np.log1p(counts).T, cmap="magma_r", rasterized=True)
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=6)
    figure.suptitle(f"{table.name}, features {shown[0]} and {shown[1]}", fontsize=9)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def window(rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of a panel: nearly all rows (n, 2), with a margin."""
    least, most = np.quantile(rows.numpy(), [0.005, 0.995], axis=0)
    margin = 0.15 * (most - least)
    return least - margin, most + margin
