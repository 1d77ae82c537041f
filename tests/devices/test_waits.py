"""How often the host waits for the device: hardly beside the stop tests of the inner loop."""

import warnings
from collections import Counter
from typing import Any
from unittest import mock

import numpy as np
from pretended import DEVICE, pretended_device

from brenier import OptimalTransport, Run

LOOP = "solve/loop.py"


def per_step(dim: int, **told: Any) -> tuple[Counter[str], int]:
    """Return how often steps of training waited, by place, and how many steps those were."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 600, dim))
    usual: dict[str, Any] = {
        "max_steps": 12,
        "batch_size": 64,
        "n_networks": 1,
        "random_state": 0,
        "device": DEVICE,
        "settings": {"evaluate_every": 4},
    }
    ot = OptimalTransport("free", **{**usual, **told})
    waits: Counter[str] = Counter()
    counted: list[int] = []
    advance = Run.advance

    def watched(run: Run[Any]) -> None:
        before, rows = traffic.reads + traffic.uploads, len(run.history)
        advance(run)
        if len(run.history) == rows:  # nothing was evaluated
            counted.append(run.step)
            waits.update(traffic.reads + traffic.uploads - before)

    with (
        warnings.catch_warnings(),
        pretended_device() as traffic,
        mock.patch.object(Run, "advance", watched),
    ):
        warnings.simplefilter("ignore")  # of so short a fit
        ot.fit(x, z + 2 * np.tanh(3 * z))
    return waits, len(counted)


if __name__ == "__main__":
    for dim in (2, 16):
        waits, steps = per_step(dim)
        print(dim, steps, sum(waits.values()) / steps, sum(n for p, n in waits.items() if not p.startswith(LOOP)) / steps)
        for p, n in waits.most_common():
            print("   ", n / steps, p)
