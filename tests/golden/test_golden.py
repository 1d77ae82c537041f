"""Fits of every kind are those of the revision in BASE, bit for bit, on the machine at hand."""

import subprocess

import compare
import pytest


@pytest.mark.slow
def test_fits_are_the_same_to_the_bit() -> None:
    commit = f"{compare.BASE}^{{commit}}"
    known = subprocess.run(
        ["git", "cat-file", "-e", commit],
        cwd=compare.ROOT,
        check=False,
        capture_output=True,
    )
    if known.returncode:
        pytest.skip(f"revision {compare.BASE} is not in this checkout")
    assert compare.differences(compare.BASE, []) == []
