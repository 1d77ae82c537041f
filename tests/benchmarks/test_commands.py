"""The commands run."""

import contextlib
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.harness.machine import ROOT


@pytest.mark.parametrize("name", tables.MODULES)
def test_help_is_shown(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    shown = io.StringIO()
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(shown):
        module.main(["--help"])
    assert ended.value.code == 0
    for flag in ("--quick", "--seeds", "--threads", "--out", "--missing", "--retries"):
        assert flag in shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "ablation --pairs tails",
        "budget_time",
        "bulk",
        "conditional",
        "control --tables policies cosine batches --problems regulator --threads 1",
        "control --tables kick rules --problems bicycle regulator --threads 1",
        "control --tables swarms --problems quadrotors-6 --threads 1",
        "certificates --pairs tails curve logsumexp",
        "cost",
        "costs --pairs sparse --methods default exact",
        "finite --pairs tails",
        "gaussians",
        "gaussians --methods default paper --minutes 1",
        "gaussians --stream --methods default paper",
        "inner --pair separable",
        "distance --methods affine default",
        "export",
        "limits --pairs tails",
        "masses --pairs squared outliers --rho 3",
        "ncf --methods flow head equation default plug-in identity",
        "neutral",
        "parametrisation",
        "peers --pairs tails --peers brenier pot",
        "processes",
        "shapes",
        "throughput",
        "tolerance",
        "w2hd --pair separable",
        "weights",
    ],
)
def test_a_quick_run_works(command: str, tmp_path: Path) -> None:
    name, *flags = command.split()
    arguments = [
        sys.executable,
        "-m",
        f"benchmarks.{name}",
        "--quick",
        *flags,
        "--out",
        str(tmp_path),
    ]
    finished = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"
    found = [
        json.loads(line)
        for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()
    ]
    assert found
    failures = [
        f"{row['problem']}, {row['method']}: {row['message']}"
        for row in found
        if row["status"] == "failed"
    ]
    assert not failures, "\n".join(failures)
    assert "| status |" in finished.stdout
