"""The benchmark of a GPU, on machines without one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.harness.machine import ROOT

COMMAND = [sys.executable, "-m", "benchmarks.gpu"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    """One line, no rows, and no failure."""
    out = tmp_path / "results"
    done = subprocess.run(
        [*COMMAND, "--quick", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "no GPU is at hand: nothing was measured\n"
    assert not out.exists()
