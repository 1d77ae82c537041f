"""Identity pre-training: a potential whose gradient is nearly the identity where the data lie, before the first step.

Without it the first inner problems of many methods have gradients of order ten, and training often collapses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class IdentitySettings:
    """How a map is brought to the identity ("Do Neural Optimal Transport Solvers Work?", public notebooks).

    Attributes:
        most_steps: of Adam.
        rate: its learning rate.
        rows: per step.
        spread: standard deviation of the points, about three times that of the data.
        enough: mean squared error per coordinate at which it ends.
        most_share: of the seconds of the fit, where these are limited, at which it ends.
    """

    most_steps: int = 5000
    rate: float = 1e-3
    rows: int = 1024
    spread: float = 3.0
    enough: float = 1e-3
    most_share: float = 0.2


IDENTITY = IdentitySettings()


def bring_to_identity(
    mapped: Callable[[Tensor], Tensor],
    module: nn.Module,
    rows: Tensor,
    generator: torch.Generator,
    constrain: Callable[[], None] | None = None,
    spent: Callable[[], float] = lambda: 0.0,
    settings: IdentitySettings | None = None,
) -> int:
    """Train a map towards the identity around the origin of the coordinates; return the steps taken.

    Args:
        mapped: the map, (n, d) -> (n, d), differentiable in the module's parameters.
        module: its network, trained in place.
        rows: (m, d), some rows of the data, whose centre and spread say where.
        generator: source of randomness.
        constrain: what puts the weights back after a step, or None.
        spent: the share of the seconds of the fit that is used up.
        settings: how, by default `IDENTITY`.
    """
    settings = settings or IDENTITY
    optimiser = torch.optim.Adam(module.parameters(), lr=settings.rate)
    centre, spread = rows.mean(0), rows.std() * settings.spread
    enough = settings.enough * float(rows.std()) ** 2
    for step in range(settings.most_steps):
        shape = (settings.rows, rows.shape[1])
        noise = torch.randn(shape, generator=generator, dtype=rows.dtype).to(rows)
        x = centre + spread * noise
        optimiser.zero_grad()
        loss = (mapped(x) - x).square().mean()
        loss.backward()
        optimiser.step()
        if constrain is not None:
            constrain()
        if float(loss.detach()) < enough or spent() > settings.most_share:
            return step + 1
    return settings.most_steps
