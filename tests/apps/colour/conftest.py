"""What the tests of grading find in their working folder."""

from pathlib import Path

import pytest
from apps.colour.photographs import picture

from brenier.apps.colour import Photo


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Photo, Photo]:
    """A blue and a red photograph, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return picture("blue.png", (20, 40, 120)), picture("red.png", (140, 60, 30))
