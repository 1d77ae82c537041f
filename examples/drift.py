"""Has the data changed? A distance with its standard error, week by week, and which features moved how.

The Wasserstein distance between reference data and this week's is in the units of the features. A week has drifted
where its 95 % interval leaves out zero, which it does for about one week in fifty where nothing has changed. The map
says what happened, and where.
"""

import os

import numpy as np

from brenier import OptimalTransport

QUICK = bool(os.environ.get("BRENIER_EXAMPLE_QUICK"))
ROWS, STEPS = (1000, 20) if QUICK else (20_000, 300)
FEATURES = ("temperature", "pressure", "flow", "vibration")
rng = np.random.default_rng(0)


def week(shift=0.0, spread=1.0, fault=0.0):
    """One week of a machine: four correlated features in standard units."""
    mixing = np.array(
        [[1, 0, 0, 0], [0.5, 0.9, 0, 0], [0, 0.4, 0.9, 0], [0, 0, 0, 1.0]]
    )
    rows = rng.normal(size=(ROWS, 4)) @ mixing.T
    rows[:, 0] += shift
    rows[:, 2] *= spread
    rows[:, 3] += 3 * (
        rng.random(ROWS) < fault
    )  # some rows only: the mean hardly notices
    return rows


reference = week()
weeks = {
    "nothing": week(),
    "warmer": week(shift=0.5),
    "flow unsteady": week(spread=1.6),
    "a few faults": week(fault=0.08),
}
print(f"{'week':15}{'W2':>7}   95 % interval   moved per feature (root mean square)")
for name, rows in weeks.items():
    ot = OptimalTransport("convex", max_steps=STEPS, random_state=0).fit(
        reference, rows
    )
    distance = ot.map_.distance()
    low, high = distance.interval
    moved = np.sqrt(((ot.transform(reference) - reference) ** 2).mean(0))
    told = "  ".join(
        f"{feature} {size:.2f}" for feature, size in zip(FEATURES, moved, strict=True)
    )
    verdict = "DRIFT" if distance.differs else ""
    print(f"{name:15}{distance.w2:7.3f}   {low:.3f} to {high:.3f}   {told}   {verdict}")
