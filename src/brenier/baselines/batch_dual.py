"""MM-B: the inner problem of the dual, its maximum taken over the rows of the batch.

    min over psi:  mean psi(x) + mean over y of max_i [ <x_i, y> - psi(x_i) ]

"Do Neural Optimal Transport Solvers Work?" (Korotin et al., 2021), MM-B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.potential_pair import PotentialPair, PotentialPairBaseline


def batch_dual(of_x: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return mean psi(x) + mean over y of max_i [ <x_i, y> - psi(x_i) ], differentiable in the values.

    Args:
        of_x: psi(x), (n,).
        x, y: rows (n, d), (m, d).
    """
    # Found without a graph, which for all pairs would take most of the time.
    best = torch.addmm(-of_x.detach(), y, x.mT).argmax(1)
    highest = torch.linalg.vecdot(x[best], y) - of_x[best]
    return of_x.mean() + highest.mean()


class BatchDualTask(PairTask):
    """A potential for either direction, each with the maximum over the rows of the same batch.

    Args:
        model: both potentials; they know nothing of each other.
        sides, generator: as for every task.
    """

    model: PotentialPair

    def loss(self, rows: int) -> Tensor:
        """Return the sum of both duals of a batch."""
        x, y = self.draw_source(rows), self.draw_target(rows)
        ahead = batch_dual(self.model.ahead(x), x, y)
        return ahead + batch_dual(self.model.back(y), y, x)


class MMBatch(PotentialPairBaseline[LearnedSettings]):
    """The dual with its inner maximum over the rows of the batch in place of a network or a solver.

    "Do Neural Optimal Transport Solvers Work?" (Korotin et al., 2021), MM-B. Steps are cheap, and nothing is trained
    against anything; but the maximum over a batch is below that over the space, the more so the more features there
    are, and that bias does not go away with training: with 16 features the map can be worse than the identity. The
    inverse map is the gradient of a second potential, trained with the roles exchanged on the same batches.

    >>> import numpy as np
    >>> from brenier.baselines import MMBatch
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> MMBatch(max_steps=50, random_state=0).fit(X, Y).transform(X).shape
    (500, 2)
    """

    presets: ClassVar[Mapping[str, Any]] = {
        # The notebooks of the benchmark; the bias falls with the batch, so that both presets have its size.
        "published": LearnedSettings(
            batch_size=1024,
            final_rate=1.0,
            max_steps=100_001,
            coordinates="data",
            max_rollbacks=1,
            evaluate_every=1000,
        ),
        # Of the rates .001 and .003 the one with the least held-out energy distance on mixtures in the plane.
        "fair": LearnedSettings(batch_size=1024, learning_rate=3e-3),
    }

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> BatchDualTask:
        """Return the task that trains the potentials."""
        return BatchDualTask(model, sides, generator)
