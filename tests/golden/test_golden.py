"""Fits of every kind are those of the revision in BASE, bit for bit, on the machine at hand."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import compare


@pytest.mark.slow
def test_fits_are_the_same_to_the_bit() -> None:
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{compare.BASE}^{{commit}}"],
        cwd=compare.ROOT,
        check=False,
        capture_output=True,
    )
    if known.returncode:
        pytest.skip(f"revision {compare.BASE} is not in this checkout")
    assert compare.differences(compare.BASE, []) == []
