"""What a worker, the process that runs one method, shares with the benchmark: a folder with a job and its answer.

    job.json                    recipe, seconds, threads, seed
    source.npy, target.npy      (N, d) float32, the pool of training samples
    x.npy, z.npy                (n, d) float64, the points to be moved forward and backward
    answer.npz                  forward, backward: (n, d)
    answer.json                 numbers for the row

A worker is a module run as `python -m benchmarks.peers.<worker> FOLDER` from the root of the repository. It keeps to
as many cores as it has threads. This module needs the standard library alone until a job is read, so that the number of
threads is known before any library starts.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARRAYS = ("source", "target", "x", "z")


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker is told.

    Attributes:
        recipe: the method and its settings, as the worker understands them.
        seconds: of training, import and compilation apart.
        threads: how many.
        seed: of all randomness.
        source, target: the pool.
        x, z: the points to be moved.
    """

    recipe: dict[str, Any]
    seconds: float
    threads: int
    seed: int
    source: Any
    target: Any
    x: Any
    z: Any


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a worker found: images of x and z, and numbers for the row."""

    forward: Any
    backward: Any
    numbers: dict[str, Any]


def work(run: Callable[[Job], Answer]) -> None:
    """Run the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-told["threads"] :])
    import numpy as np

    arrays = {name: np.load(folder / f"{name}.npy") for name in ARRAYS}
    answer = run(Job(**told, **arrays))
    np.savez(
        folder / "answer.npz",
        forward=np.asarray(answer.forward),
        backward=np.asarray(answer.backward),
    )
    (folder / "answer.json").write_text(json.dumps(answer.numbers), encoding="utf-8")
