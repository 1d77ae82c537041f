"""The worker of this library: `OptimalTransport` on the pool, by a preset of `benchmarks/preset.py`, for the time.

Or one of its baselines by name, with settings of its own, for so many seconds of the processor or so many steps.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from benchmarks.peers.worker import Answer, Job, work


def run(job: Job) -> Answer:
    import torch

    import brenier
    from benchmarks import preset
    from brenier.transport.costs import cost_from_json

    torch.set_num_threads(job.threads)
    if "baseline" in job.recipe:
        return run_baseline(job, dict(job.recipe))
    began = time.perf_counter()
    dim = job.source.shape[1]
    told = job.recipe.get("cost")
    changes = {} if told is None else {"cost": cost_from_json(told)}
    ot = preset.fit_to(
        job.recipe["preset"],
        job.source,
        job.target,
        dim,
        max_time=job.seconds,
        random_state=job.seed,
        **changes,
    )
    seconds = time.perf_counter() - began
    transport = ot.map_
    numbers = {
        "library": f"brenier {brenier.__version__}",
        "fit_seconds": seconds,
        "excluded_seconds": 0.0,
        "steps": ot.diagnostics_["steps"],
        "stopped": ot.diagnostics_["stopped"],
    }
    back, solution = transport.inverse(torch.from_numpy(job.z), return_solution=True)
    return Answer(
        transport(torch.from_numpy(job.x)).numpy(),
        back.numpy(),
        numbers | {"unconverged": solution.unconverged},
    )


def run_baseline(job: Job, told: dict[str, Any]) -> Answer:
    """Return the images under a baseline; what its recipe holds beside the name and the steps are its settings."""
    import dataclasses
    from unittest import mock

    import torch

    import brenier
    from brenier.baselines import BASELINES, learned
    from brenier.training import Clock

    kind: Any = BASELINES[told.pop("baseline")]
    most = told.pop("max_steps", None)
    changes = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    settings = dataclasses.replace(kind.presets["published"], **changes)
    limit = {"max_time": job.seconds} if most is None else {"max_steps": most}
    began = time.process_time()
    # Whoever else uses the machine, a second is one of the processor.
    with mock.patch.object(
        learned, "Clock", functools.partial(Clock, time.process_time)
    ):
        fitted = kind(settings, random_state=job.seed, **limit)
        fitted.fit(job.source, job.target)
    seconds = time.process_time() - began
    numbers = {
        "library": f"brenier {brenier.__version__}",
        "fit_seconds": seconds,
        "excluded_seconds": 0.0,
        "steps": fitted.diagnostics_["steps"],
        "stopped": fitted.diagnostics_["stopped"],
    }
    with torch.no_grad():
        forward = fitted.map_.forward(torch.from_numpy(job.x)).numpy()
        backward = fitted.map_.backward(torch.from_numpy(job.z)).numpy()
    return Answer(forward, backward, numbers)


if __name__ == "__main__":
    work(run)
