"""Figures of drift: displacements, distributions, weeks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from report.plots.drawn import check_drawn

from brenier.report import plots
from brenier.report.plots.drift import FeatureMark, Spread
from brenier.report.plots.drift_weeks import WeekMark

RNG = np.random.default_rng(0)
LONG = "temperature of the second bearing,\nin degrees Celsius ($T_2$)"


def marks(count: int, first: float = 0.4) -> list[FeatureMark]:
    """Features, the first of which moved."""
    moved = FeatureMark(LONG, first, 0.04, 0.001, True)
    others = [
        FeatureMark(f"x{k}", 0.03, 0.04 + 0.01 * (k % 2), 0.7, False)
        for k in range(count - 1)
    ]
    return [moved, *others]


def drawn_by(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written from now on."""
    kept: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, path: Path, **how: Any) -> None:
        kept.append(figure)
        save(figure, path, **how)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


@pytest.mark.parametrize("count", [1, 20, 200])
@pytest.mark.parametrize("first", [0.4, 40.0])
def test_displacements(
    count: int, first: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn_by(monkeypatch)
    plots.displacement_chart(marks(count, first), "deviations", tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")
    (axes,) = figures[0].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == min(count, plots.DRIFT_PLOT.max_features)
    assert ("the first 20 of 200 features" in axes.get_xlabel()) == (count == 200)
    assert axes.get_xscale() == ("log" if first > 1 else "linear")
    assert axes.get_xlim()[1] > first
    texts = [text.get_text() for text in axes.texts]
    assert texts[:2] == ["p = .001", "p = .7"][: len(texts)]


def test_what_is_not_known_of_a_feature_is_not_drawn(tmp_path: Path) -> None:
    unknown = FeatureMark("a", None, None, None, False)
    plots.displacement_chart([unknown], "deviations", tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")
    still = FeatureMark("a", 0.0, 0.0, 1.0, False)
    plots.displacement_chart([still, unknown], "deviations", tmp_path / "b.png")
    check_drawn(tmp_path / "b.png")


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_distributions_of_numbers_and_categories(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn_by(monkeypatch)
    edges = np.linspace(-3, 3, 31)
    bars = [np.histogram(RNG.normal(size=500), edges)[0] / 500 for _ in range(2)]
    number = Spread(LONG, "mean up by 0.3", edges, (), *bars)
    labels = [f"{LONG} {k}" for k in range(14)]
    category = Spread("kind", "", None, labels, *RNG.dirichlet(np.ones(14), 2))
    spreads = [number, category] * 5
    plots.distributions(spreads[:count], tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")
    shown = [axes for axes in figures[0].axes if axes.get_visible()]
    assert len(shown) == min(count, plots.DRIFT_PLOT.max_panels)
    if count > 1:
        names = [label.get_text() for label in shown[1].get_yticklabels()]
        assert len(names) == plots.DRIFT_PLOT.max_categories
        assert names[-1] == "7 others"


@pytest.mark.parametrize("count", [1, 2, 60])
@pytest.mark.parametrize("measured", [True, False])
def test_weeks(
    count: int, measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn_by(monkeypatch)
    weeks = [
        WeekMark(
            f"2026-week-{k}",
            0.3 if measured else None,
            (0.1, 0.5) if measured else None,
            0.01 if k == 1 else 0.6,
            k == 1,
        )
        for k in range(count)
    ]
    weeks.append(WeekMark("of one row", None, None, None, False))
    plots.weeks_chart(weeks, 0.05, tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")
    panels = figures[0].axes
    assert len(panels) == 1 + measured
    labels = panels[-1].get_legend_handles_labels()[1]
    assert ("drift" in labels) == (count > 1)
    names = panels[-1].get_xticklabels()
    assert len(names) <= plots.WEEK_PLOT.max_names
