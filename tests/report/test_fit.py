"""The report of a fit: what is on the page, and that its figures are there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from brenier import OptimalTransport
from brenier.report.fit import REPORT, fit_report, training_section
from brenier.report.page import Section

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 3)), np.sinh(RNG.normal(size=(250, 3)))


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fitted map."""
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        X, Y
    )


def test_report_of_a_fit(ot: OptimalTransport, tmp_path: Path) -> None:
    page = fit_report(
        tmp_path / "new",
        "A | title",
        ot,
        torch.tensor(X),
        torch.tensor(Y),
        [Section("More", "Said.")],
    )
    text = page.read_text(encoding="utf-8")
    assert text.startswith(
        "# A | title\n\n## Distance\n\n* The two samples differ: W2 is "
    )
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "Distance",
        "Round trip",
        "Which rows to believe",
        "More",
        "Training",
        "Settings",
        "Figures",
    ]
    assert "| potential | convex |" in text
    assert "0 of 300 rows unconverged" in text
    figures = re.findall(r"!\[.+\]\((\S+)\)", text)
    assert len(figures) == 4
    assert {path.name for path in page.parent.iterdir()} == {"report.md", *figures}


def test_training_excerpt_holds_the_first_and_the_last_row() -> None:
    history = [
        {
            "step": float(i),
            "seconds": i / 10,
            "value": -float(i),
            "train_value": float("nan"),
            "setbacks": 0,
        }
        for i in range(100)
    ]
    body = training_section(history, "budget").body
    steps = [int(step) for step in re.findall(r"^\| (\d+) \|", body, re.MULTILINE)]
    assert steps[0] == 0
    assert steps[-1] == 99
    assert len(steps) == REPORT.max_evaluations
    assert "nan" not in body
    assert training_section([], "").body == ""


@pytest.mark.parametrize("name", ["rollbacks", "setbacks"])
def test_records_of_version_0_1_are_reported(name: str) -> None:
    row = {"step": 10.0, "seconds": 1.0, name: 3}
    assert "; 3 rollbacks. " in training_section([row], "budget").body
