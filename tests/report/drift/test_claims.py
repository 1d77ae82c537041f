"""What is claimed of drift, over many seeds where the truth is known."""

import numpy as np
import pandas
import pytest
from scipy import stats

from brenier.report import Drift, drift


def mixed(rng: np.random.Generator, rows: int) -> pandas.DataFrame:
    """Return rows of two related numbers, and two categories, one of which is rare or goes with a number."""
    a, b = rng.normal(size=(2, rows))
    town = np.where(b > 0.5, "north", rng.choice(["east", "west"], rows))
    rare = np.where(rng.random(rows) < 0.02, "odd", "usual")
    return pandas.DataFrame({"a": a, "b": b + 0.5 * a, "town": town, "rare": rare})


def false_alarms(rows: int, seeds: int, permutations: int) -> int:
    """Return for how many seeds an unchanged table is said to have drifted at 20 %."""
    found = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        each = drift(
            *(mixed(rng, rows), mixed(rng, rows)),
            map_=False,
            level=0.2,
            permutations=permutations,
            seed=seed,
        )
        found += each.drifted
    return found


def check_share(found: int, seeds: int, share: float) -> None:
    """Fail where a count is too far from what is expected, which by chance happens once in a thousand."""
    low, high = stats.binom.interval(0.999, seeds, share)
    assert low <= found <= high, f"{found} of {seeds}, expected {share:.0%}"


def test_false_alarms_are_as_frequent_as_the_level() -> None:
    check_share(false_alarms(120, 80, 99), 80, 0.2)


@pytest.mark.slow
def test_false_alarms_are_as_frequent_as_the_level_over_many_seeds() -> None:
    check_share(false_alarms(500, 400, 199), 400, 0.2)


def changed(kind: str, rng: np.random.Generator, rows: int, place: int) -> np.ndarray:
    """Return five numbers a row, of which one has changed."""
    week = rng.normal(size=(rows, 5))
    if kind == "shift":
        week[:, place] += 0.2
    elif kind == "spread":
        week[:, place] *= 1.3
    else:
        week[:, place] += 3 * (rng.random(rows) < 0.15)
    return week


@pytest.mark.parametrize("kind", ["shift", "spread", "faults"])
def test_the_feature_that_changed_ranks_first(kind: str) -> None:
    first, seeds, rows = 0, 20, 700
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        reference = rng.normal(size=(rows, 5))
        week = changed(kind, rng, rows, seed % 5)
        found = drift(reference, week, map_=False, permutations=199, seed=seed)
        assert isinstance(found, Drift)
        first += found.features[0].name == f"x{seed % 5}"
    assert first >= 0.9 * seeds


def test_noise_floors_are_about_as_large_as_displacements_of_unchanged_tables() -> None:
    moved, floors = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = drift(mixed(rng, 800), mixed(rng, 200), map_=False, permutations=19)
        assert isinstance(found, Drift)
        moved += [each.displacement for each in found.features]
        floors += [each.noise_floor for each in found.features]
    ratios = np.array(moved, float) / np.array(floors, float)
    assert 0.6 < np.median(ratios) < 1.4
    assert np.quantile(ratios, 0.95) < 3
