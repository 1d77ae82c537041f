"""Every baseline obeys the laws of all baselines, and those that are trained the laws of training."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from contracts import BASELINE_LAWS, LEARNED_LAWS, keeps_its_seconds

from brenier import DataError, ModelFileError
from brenier.baselines import (
    BASELINES,
    LearnedBaseline,
    SavedModelBaseline,
    load_any,
)

Kind = type[SavedModelBaseline]
LEARNED = [
    name for name, kind in BASELINES.items() if issubclass(kind, LearnedBaseline)
]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("law", BASELINE_LAWS)
def test_every_baseline(
    law: Callable[[Kind, Path], None], name: str, tmp_path: Path
) -> None:
    law(BASELINES[name], tmp_path)


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("law", LEARNED_LAWS)
def test_every_baseline_that_is_trained(
    law: Callable[[Kind, Path], None], name: str, tmp_path: Path
) -> None:
    law(BASELINES[name], tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("mm", "rnode") else pytest.mark.slow)
        for name in LEARNED
    ],
)
def test_every_baseline_keeps_its_seconds(name: str, tmp_path: Path) -> None:
    keeps_its_seconds(BASELINES[name], tmp_path)


def test_every_baseline_is_told_of_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "baselines.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall("`([^`]+)`", row)}
    assert set(BASELINES) <= named


def test_a_folder_without_a_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"baseline\.json"):
        load_any(tmp_path)
    with pytest.raises(DataError, match="folder"):
        load_any(3)  # type: ignore[arg-type]
