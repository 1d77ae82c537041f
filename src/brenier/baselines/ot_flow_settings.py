"""Settings of OT-Flow, and those published for the five sets of physics data and image patches.

Steps of training, of validation and of tests are three numbers in the paper; maps and held-out values here take those
of its tests. Its rate falls by ten (BSDS300: by 3.3) on plateaus, thrice, and then training stops; here it falls by the
half cosine that all baselines share, to as little in the end, and sixty evaluations without a better one stop it.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from brenier.baselines.density_model import Passage
from brenier.baselines.likelihood_task import LikelihoodSettings
from brenier.baselines.normalising_flow import PublishedSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class OTFlowSettings(LikelihoodSettings):
    """How OT-Flow is trained; the transport cost has weight one.

    Attributes:
        width: m, units of both layers.
        largest_rank: rows of A at most: it has min(largest_rank, d + 1).
        likelihood_weight: alpha_C, of minus the log density.
        residual_weight: alpha_R, of the residual of the Hamilton-Jacobi-Bellman equation.
        largest_weight: to which every parameter is clamped, either side of zero.
    """

    width: int = 64
    largest_rank: int = 10
    likelihood_weight: float = 100.0
    residual_weight: float = 15.0
    largest_weight: float = 1.5

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        for name in ("width", "largest_rank"):
            self.require(name, getattr(self, name) >= 1, "must be 1 or more")
        self.require("largest_weight", self.largest_weight > 0, "must be positive")

    def estimates(self, dim: int) -> bool:
        """Say no: traces are exact."""
        return False

    def has_costs(self) -> bool:
        """Say yes: transport and residual."""
        return True

    def objective(self, passage: Passage) -> Tensor:
        """Return L + alpha_C C + alpha_R R: a scalar."""
        transport, residual = passage.costs.mean(0)
        likelihood = self.likelihood_weight * passage.nll().mean()
        return transport + likelihood + self.residual_weight * residual


OT_FLOW_COMMON = OTFlowSettings(final_rate=1e-3, evaluate_every=100, patience=60)
OT_FLOW_SETS = {
    "power": PublishedSet(
        6,
        dataclasses.replace(
            OT_FLOW_COMMON,
            width=128,
            steps=10,
            map_steps=24,
            batch_size=10_000,
            likelihood_weight=500.0,
            residual_weight=5.0,
            learning_rate=0.03,
            max_steps=36_000,
        ),
    ),
    "gas": PublishedSet(
        8,
        dataclasses.replace(
            OT_FLOW_COMMON,
            width=350,
            steps=10,
            map_steps=30,
            batch_size=2000,
            likelihood_weight=1200.0,
            residual_weight=40.0,
            learning_rate=0.01,
            max_steps=60_000,
        ),
    ),
    "hepmass": PublishedSet(
        21,
        dataclasses.replace(
            OT_FLOW_COMMON,
            width=256,
            steps=12,
            map_steps=24,
            batch_size=2000,
            likelihood_weight=500.0,
            residual_weight=40.0,
            learning_rate=0.02,
            max_steps=40_000,
        ),
    ),
    "miniboone": PublishedSet(
        43,
        dataclasses.replace(
            OT_FLOW_COMMON,
            width=256,
            steps=6,
            map_steps=18,
            batch_size=2000,
            likelihood_weight=100.0,
            residual_weight=15.0,
            learning_rate=0.02,
            max_steps=8000,
        ),
    ),
    "bsds300": PublishedSet(
        63,
        dataclasses.replace(
            OT_FLOW_COMMON,
            width=512,
            steps=14,
            map_steps=40,
            batch_size=300,
            likelihood_weight=2000.0,
            residual_weight=800.0,
            learning_rate=0.001,
            final_rate=0.028,  # 3.3^-3
            max_steps=120_000,
        ),
    ),
}
