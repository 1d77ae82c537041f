"""Has the data changed? A test, a distance with its interval, and which features moved how, week by week.

The reference is fitted once; every week is compared with it. P-values are exact and adjusted for the number of weeks,
so that one study in twenty raises an alarm where nothing has changed. Distances and displacements are in standard
deviations of the reference.
"""

import os

import numpy as np
import pandas as pd

from brenier import DriftReference, drift

QUICK = bool(os.environ.get("BRENIER_EXAMPLE_QUICK"))
ROWS = 1000 if QUICK else 20_000
FEATURES = ["temperature", "pressure", "flow", "vibration"]
MIXING = [[1, 0, 0, 0], [0.5, 0.9, 0, 0], [0, 0.4, 0.9, 0], [0, 0, 0, 1]]
rng = np.random.default_rng(0)


def week(shift=0.0, spread=1.0, fault=0.0, night=0.3):
    """One week of a machine: four related numbers, and the shift that was at work."""
    rows = pd.DataFrame(
        rng.normal(size=(ROWS, 4)) @ np.array(MIXING).T, columns=FEATURES
    )
    rows["temperature"] += shift
    rows["flow"] *= spread
    # Some rows only: the mean hardly notices.
    rows["vibration"] += 3 * (rng.random(ROWS) < fault)
    rows["team"] = np.where(rng.random(ROWS) < night, "night", "day")
    return rows


reference = DriftReference.fit(week(), map_=not QUICK)
weeks = {
    "nothing": week(),
    "warmer": week(shift=0.1),
    "flow unsteady": week(spread=1.2),
    "a few faults": week(fault=0.08),
    "more nights": week(night=0.4),
}
study = drift(reference, weeks, map_=not QUICK)
print(study.verdict())
for each in study.weeks:
    print(each.verdict())
    if each.distance is not None:
        low, high = each.distance.interval
        print(f"    W2 {each.distance.w2:.3f}, 95 % interval {low:.3f} to {high:.3f}")
