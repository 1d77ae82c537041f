"""Facts about the machine, and the memory of a process."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import machine
from benchmarks.harness.machine import ROOT


def test_no_row_tells_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_DATA", "/somewhere/private")
    told = machine.without_folders(
        f"{ROOT}/x /somewhere/private/y {sys.base_prefix}/z {Path.home()}/a"
    )
    assert told == "./x $BRENIER_DATA/y $PREFIX/z ~/a"


def test_peak_memory_sees_what_was_used() -> None:
    if not machine.reset_peak():
        pytest.skip("this system cannot reset the peak")
    gc.collect()  # what other tests left may not go while the block is there
    before = machine.memory()
    block = np.ones(2**24)  # 128 MiB
    del block
    assert 120 < machine.peak_memory() - before < 200
