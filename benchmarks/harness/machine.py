"""Where a number comes from: versions, machine, commit, command. And the memory that the process uses."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import brenier

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20


def provenance(benchmark: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return everything needed to judge a row or to make it again."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": shlex.join(
            [
                "python",
                "-m",
                f"benchmarks.{benchmark}",
                *map(without_folders, arguments),
            ]
        ),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "brenier": brenier.__version__,
        "system": platform.system(),
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        "load": round(os.getloadavg()[0], 2),
    }


def commit() -> str | None:
    """Return the commit the code is at, with "+changes" where code differs from it, or None outside of git."""
    code = ["src", "benchmarks/*.py", "pyproject.toml"]
    head, changes = (
        _git("rev-parse", "HEAD"),
        _git("status", "--porcelain", "--", *code),
    )
    return None if head is None else head + ("+changes" if changes else "")


def processor() -> str:
    """Return the model of the processor."""
    with contextlib.suppress(OSError):
        found = re.search(
            r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8")
        )
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def cores() -> int:
    """Return how many cores this process may use."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


def without_folders(text: str) -> str:
    """Return text with the folders of this machine replaced by names."""
    for folder, name in (
        (os.environ.get("BRENIER_DATA"), "$BRENIER_DATA"),
        (str(ROOT), "."),
        (sys.prefix, "$PREFIX"),
        (sys.base_prefix, "$PREFIX"),
        (os.path.expanduser("~"), "~"),
    ):
        if folder and len(folder) > 1:
            text = text.replace(folder, name)
    return text


def memory() -> float:
    """Return the resident memory of this process now, in MiB; where unknown, its peak."""
    return _status("VmRSS") or _peak_of_process()


def reset_peak() -> bool:
    """Reset the peak to the present memory; False where the system cannot, and the peak is that of the process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return True
    return False


def peak_memory() -> float:
    """Return the largest resident memory since `reset_peak`, in MiB."""
    return _status("VmHWM") or _peak_of_process()


def _status(name: str) -> float | None:
    with contextlib.suppress(OSError):
        found = re.search(
            rf"{name}:\s*(\d+) kB",
            Path("/proc/self/status").read_text(encoding="ascii"),
        )
        return int(found[1]) / 1024 if found else None
    return None


def _peak_of_process() -> float:
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


def _git(*arguments: str) -> str | None:
    try:
        finished = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return finished.stdout.strip()
