"""Which weights of a run are kept: the latest whose held-out J is the least met, up to its own noise.

Two sets of weights are compared row by row, so that the noise of their difference is known. Late in training it is
larger than what training still gains, and the least value alone would pick whichever evaluation the held-out rows
happen to favour. Among those within one standard error (as in "Classification and Regression Trees", Breiman et al.,
1984, section 3.4.3) the latest has learnt from the most samples at the lowest rate; but where the same rows were drawn
again and again it is also the one that knows them best by heart, and the least value decides.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import Tensor

from brenier.statistics import standard_error
from brenier.transport.dual import DualValue

WITHIN = 1.0  # standard errors of the difference from the least value met
SIGNIFICANT = 3.0  # standard errors of J itself


class Selection:
    """The weights to keep, and the evaluation that others are held against.

    Args:
        weights: the state to keep until there is an evaluation.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = copy.deepcopy(weights)
        self.least = math.inf
        self._terms: tuple[Tensor, ...] = ()

    def consider(
        self, value: DualValue, weights: dict[str, Tensor], fresh: bool = True
    ) -> bool:
        """Keep the weights if they are as good as any met; say whether their J is the least met.

        An evaluation with unconverged rows is not considered, since under-solved inner problems make J look smaller
        than it is.

        Args:
            value: J on the held-out samples, the same ones every time.
            weights: those that have it.
            fresh: whether training has not drawn the same rows again and again.
        """
        now = value.loss.item()
        if not math.isfinite(now) or value.solution.unconverged:
            return False
        least = now < self.least
        if least or (fresh and now - self.least <= WITHIN * self._noise(value)):
            self.weights = copy.deepcopy(weights)
        if least:
            self.least, self._terms = (
                now,
                (value.source.detach().clone(), value.target.detach().clone()),
            )
        return least

    def worse(self, value: DualValue) -> bool:
        """Say whether J is significantly above the least met."""
        return value.loss.item() > self.least + SIGNIFICANT * value.standard_error()

    def state_dict(self) -> dict[str, Any]:
        """Return everything kept."""
        return {"weights": self.weights, "least": self.least, "terms": self._terms}

    def load_state_dict(self, state: dict[str, Any], like: Tensor) -> None:
        """Take up what was kept, on the device of a tensor."""
        self.weights, self.least = (
            copy.deepcopy(state["weights"]),
            float(state["least"]),
        )
        self._terms = tuple(terms.to(like.device) for terms in state["terms"])

    def _noise(self, value: DualValue) -> float:
        """Return the standard error of the difference from the least value, over the same rows."""
        source, target = self._terms
        return standard_error(value.source - source, value.target - target)
