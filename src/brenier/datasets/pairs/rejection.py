"""Laws on a ball that are sampled exactly, by rejection."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from brenier.datasets.pairs.synthetic import Map, TensorSampler
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class RejectionSettings:
    """How rows are proposed.

    Attributes:
        surplus: rows proposed over rows wanted and the share accepted so far.
        checked_rows: proposed once, to see how many are accepted.
        least_share: of proposed rows that must be accepted; with less, rho is too small for the pair.
    """

    surplus: float = 1.2
    checked_rows: int = 20_000
    least_share: float = 1e-4


REJECTION_SETTINGS = RejectionSettings()


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A law on a ball, sampled by rejection.

    Attributes:
        name: of the parameter that sets how many rows are accepted.
        propose: samples of another law.
        radius: of the ball.
        log_share: (n, d) -> (n,), logarithm of the probability to accept a proposed row of the ball.
    """

    name: str
    propose: TensorSampler
    radius: float
    log_share: Map

    def probability(self, x: Tensor) -> Tensor:
        """Return the probability to accept rows: (n, d) -> (n,).

        Raises:
            DataError: where it would be above one.
        """
        inside = torch.linalg.vector_norm(x, dim=-1) <= self.radius
        log_share = torch.where(inside, self.log_share(x), -math.inf)
        slack = math.sqrt(torch.finfo(x.dtype).eps)
        if bool((log_share > slack).any()):
            raise DataError(
                "cost: h(grad h*(s)) is not convex in s, so that samples by rejection would not be exact; take another"
            )
        return log_share.exp()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return independent samples: (n, d)."""
        settings = REJECTION_SETTINGS
        kept: list[Tensor] = []
        missing, share = n, 1.0
        while missing > 0:
            x = self.propose(math.ceil(settings.surplus * missing / share), generator)
            coin = torch.rand(
                len(x), generator=generator, device=x.device, dtype=x.dtype
            )
            accepted = x[coin < self.probability(x)]
            share = max(len(accepted) / len(x), settings.least_share)
            kept.append(accepted[:missing])
            missing -= len(kept[-1])
        return torch.cat(kept) if kept else self.propose(0, generator)

    def check(self) -> None:
        """Check that enough rows are accepted.

        Raises:
            DataError: where they are not.
        """
        settings = REJECTION_SETTINGS
        generator = torch.Generator().manual_seed(0)
        share = self.probability(self.propose(settings.checked_rows, generator))
        if not float(share.mean()) > settings.least_share:
            raise DataError(
                f"{self.name}: so small that not one of {1 / settings.least_share:.0f} rows is accepted; give a larger "
                "one"
            )
