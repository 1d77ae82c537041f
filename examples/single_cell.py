"""Where were the cells in between? A culture at five time points; each inner one is left out once, and predicted.

Sequencing destroys cells, so no cell is seen twice. Optimal transport from one time point's cells to a later one's is
the least motion that explains both; halfway along it (displacement interpolation) lies a prediction for in between.
Data: embryoid bodies (Moon et al., 2019), 5 principal components, if BRENIER_DATA holds them; else simulated cells.
"""

import os
from pathlib import Path

import numpy as np
import torch

from brenier import OptimalTransport
from brenier.metrics import energy_distance

QUICK = bool(os.environ.get("BRENIER_EXAMPLE_QUICK"))


def simulated(time, n, rng):
    """Cells that start as one type and become two, in two of five components."""
    fate = rng.choice([-1.0, 1.0], n, p=[0.4, 0.6])
    cells = rng.normal(0, 0.4, (n, 5))
    cells[:, 0] += time
    cells[:, 1] += fate * 0.7 * time**1.5
    return cells


def time_points():
    """Cells of five successive time points, oldest first."""
    file = Path(os.environ.get("BRENIER_DATA", ".")) / "eb" / "eb.npz"
    if file.exists():
        data = np.load(file)
        return [data["x"][data["t"] == time].astype(float) for time in range(5)]
    rng = np.random.default_rng(0)
    return [simulated(time, 3000, rng) for time in (0.0, 0.5, 1.0, 1.5, 2.0)]


def distance(a, b):
    return energy_distance(torch.as_tensor(a), torch.as_tensor(b))


cells = [some[:500] if QUICK else some for some in time_points()]
print("energy distance to the cells left out (0: same distribution)")
print(f"{'left out':>9}{'earlier':>9}{'later':>9}{'halfway':>9}{'own half':>9}")
for left_out in (1,) if QUICK else (1, 2, 3):
    before, between, after = cells[left_out - 1 : left_out + 2]
    ot = OptimalTransport(max_steps=20 if QUICK else 500, random_state=0).fit(
        before, after
    )
    halves = np.array_split(between, 2)
    row = [
        distance(some, between)
        for some in (before, after, ot.map_.interpolate(before, t=0.5))
    ]
    print(
        f"{left_out:9d}"
        + "".join(f"{value:9.3f}" for value in (*row, distance(*halves)))
    )

ancestors = ot.inverse_transform(after)
print(
    f"every later cell has an ancestor, {np.linalg.norm(ancestors - after, axis=1).mean():.2f} away on average"
)
print(ot.map_.distance().statement())
