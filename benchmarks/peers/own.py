"""The worker of this library: `OptimalTransport` on the pool, by a preset of `benchmarks/preset.py`, for the time."""

from __future__ import annotations

import time

from benchmarks.peers.worker import Answer, Job, work


def run(job: Job) -> Answer:
    import torch

    import brenier
    from benchmarks import preset
    from brenier.transport.costs import cost_from_json

    torch.set_num_threads(job.threads)
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


if __name__ == "__main__":
    work(run)
