"""Which weights of a run are kept: the latest whose held-out value is the least seen, up to its own noise.

Two sets of weights are compared row by row, so that the noise of their difference is known. Late in training it is
larger than what training still gains, and the least value alone would pick whichever evaluation the held-out rows
happen to favour. Among those within one standard error (as in "Classification and Regression Trees", Breiman et al.,
1984, section 3.4.3) the latest has learnt from the most samples at the lowest rate; but where the same rows were drawn
again and again it is also the one that has overfitted most, and the least value decides.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from brenier.statistics import standard_error
from brenier.training.settings import Settings
from brenier.training.task import Evaluation


class Selection:
    """The weights to keep, and the evaluation that others are compared with.

    Args:
        weights: the state to keep until there is an evaluation.
        settings: `select_within` and `significant_errors`.
    """

    def __init__(self, weights: dict[str, Tensor], settings: Settings) -> None:
        self.weights = copy.deepcopy(weights)
        self.least = math.inf
        self._settings = settings
        self._terms: tuple[Tensor, ...] = ()

    def consider(self, evaluation: Evaluation, weights: dict[str, Tensor]) -> bool:
        """Keep the weights if they are as good as any seen; say whether their value is the least seen.

        An evaluation that cannot be trusted is not considered.

        Args:
            evaluation: on the held-out samples, the same ones every time.
            weights: those that have it.
        """
        if not math.isfinite(evaluation.value) or not evaluation.trusted:
            return False
        least = evaluation.value < self.least
        if least or (evaluation.fresh and self._is_as_good(evaluation)):
            self.weights = copy.deepcopy(weights)
        if least:
            self.least = evaluation.value
            self._terms = tuple(terms.detach().clone() for terms in evaluation.terms)
        return least

    def worse(self, evaluation: Evaluation) -> bool:
        """Say whether the value is significantly above the least seen."""
        margin = self._settings.significant_errors * evaluation.standard_error()
        return evaluation.value > self.least + margin

    def state_dict(self) -> dict[str, Any]:
        """Return everything kept."""
        return {"weights": self.weights, "least": self.least, "terms": self._terms}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up what was kept, on a device."""
        self.weights = copy.deepcopy(state["weights"])
        self.least = float(state["least"])
        self._terms = tuple(terms.to(device) for terms in state["terms"])

    def _is_as_good(self, evaluation: Evaluation) -> bool:
        """Say whether the value is the least seen up to the noise of their difference, over the same rows."""
        pairs = zip(evaluation.terms, self._terms, strict=True)
        noise = standard_error(*(new - old for new, old in pairs))
        return evaluation.value - self.least <= self._settings.select_within * noise
