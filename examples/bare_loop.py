"""The library's parts in a loop of your own: a potential, the dual objective, any optimiser; at the end a map."""

import os

import torch

from brenier import LBFGS, DenseICNN, DualObjective, TransportMap
from brenier.datasets import radial_pair
from brenier.metrics import l2_uvp

STEPS = 20 if os.environ.get("BRENIER_EXAMPLE_QUICK") else 500
generator = torch.Generator().manual_seed(0)
pair = radial_pair(dim=2)  # any two samplers will do; the map of this pair is known

potential = DenseICNN(2, convex=True, generator=generator)
objective = DualObjective(LBFGS(), tol=1e-2)
optimiser = torch.optim.AdamW(potential.parameters(), lr=2e-2, betas=(0.5, 0.9))
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)

for step in range(STEPS):
    value = objective(
        potential, pair.source(512, generator), pair.target(512, generator)
    )
    optimiser.zero_grad()
    value.loss.backward()
    optimiser.step()
    schedule.step()
    if step % (STEPS // 5) == 0:
        inner = value.solution
        print(
            f"step {step:4d}   J = {value.loss:+.4f}   {inner.evaluations_per_row:.1f} evaluations per row"
        )

transport = TransportMap(potential.eval().requires_grad_(False))
x, (z, preimage) = (
    pair.source(4096, generator),
    pair.target_with_preimage(4096, generator),
)
back, solution = transport.inverse(z, return_solution=True)
print(
    f"forward {l2_uvp(transport(x), pair.forward(x), pair.variance_target):.2f} % of the variance is unexplained"
)
print(
    f"inverse {l2_uvp(back, preimage, pair.variance_source):.2f} %, {solution.report()}"
)
print(transport.distance(x, z).statement())
