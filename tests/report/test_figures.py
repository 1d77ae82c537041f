"""The figures of a report, and what happens where none can be drawn."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from brenier import DataWarning, OptimalTransport
from brenier.report.figures import map_figures, training_figures
from brenier.report.fit import fit_report
from brenier.transport.maps import round_trip

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 3)), np.sinh(RNG.normal(size=(250, 3)))


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fitted map."""
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        X, Y
    )


def test_report_without_matplotlib_has_no_figures_and_says_so(
    ot: OptimalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(DataWarning, match=r"brenier\[plots\]"):
        page = fit_report(tmp_path, "Title", ot, torch.tensor(X), torch.tensor(Y))
    assert "Figures" not in page.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_figures_are_where_the_page_looks_for_them(
    ot: OptimalTransport, tmp_path: Path
) -> None:
    x, z = torch.tensor(X), torch.tensor(Y)
    trip = round_trip(ot.map_, x)
    figures = training_figures(ot.history_, tmp_path)
    figures += map_figures(ot.map_, x, z, trip, tmp_path)
    assert all(figure.caption for figure in figures)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {figure.name for figure in figures}
