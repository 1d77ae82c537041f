"""The training of a baseline, as a task: batches of both sides in the coordinates, and what is seen from outside.

Methods that train two networks in turn take one of them at every step of the run: a loss whose graph leaves out the
other gives that no gradient, and the optimiser leaves it alone. So a run can be put down between any two steps.

No method is judged by the truth, which nobody has: on held-out rows the energy distance of moved rows to the target is
looked at, which says whether the laws agree, not whether the map is optimal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from brenier.baselines.flow_loss import energy_terms
from brenier.baselines.model import MapModel
from brenier.training import Evaluation, Loss, Task

# (n, generator) -> n rows of one side in the coordinates.
DrawCoordinates: TypeAlias = Callable[[int, torch.Generator], Tensor]


class PairSides(NamedTuple):
    """Both sides of a fit in the coordinates.

    Attributes:
        source, target: (n, generator) -> (n, d), rows to train on.
        held_out: rows (n, d), (m, d) of either side that training never sees.
        sizes: rows there are of either side, infinity for streams.
        known: rows (n, d), (m, d) of either side from which the frame was found, for methods that need moments.
        spent: the share of the seconds given that is used up, zero where they are not limited: what is done before
            training asks it when to end.
        classes: the sides of every class, for methods that are told labels; else none.
        certify: rows of either side that neither training nor selection sees; those held out where there are none.
    """

    source: DrawCoordinates
    target: DrawCoordinates
    held_out: tuple[Tensor, Tensor]
    sizes: tuple[float, float]
    known: tuple[Tensor, Tensor]
    spent: Callable[[], float] = lambda: 0.0
    classes: tuple[PairSides, ...] = ()
    certify: tuple[Tensor, Tensor] | None = None


class PairTask(Task[MapModel]):
    """What all baselines that are trained share; a subclass writes `loss`, and may evaluate another value.

    Args:
        model: to train, in place.
        sides: the rows.
        generator: the only source of randomness.

    Attributes:
        taken: steps taken so far.
        progress: the share of the budget used up.
    """

    averages: Sequence[str] = ("train_loss",)

    def __init__(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        self.model, self.sides, self.generator = model, sides, generator
        self.taken = 0
        self.progress = 0.0

    def loss(self, rows: int) -> Tensor:
        """Return the loss of one step, of so many rows of either side: a scalar.

        Its graph holds the parameters that this step changes, and no others (`networks.frozen`).
        """
        raise NotImplementedError

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the loss of one step."""
        value = self.loss(rows)
        self.taken += 1
        number = float(value.detach())
        fault = "" if math.isfinite(number) else "the loss is not finite"
        yield Loss(value, [{"train_loss": number}], fault)

    def begin_step(self, progress: float) -> None:
        """Take in how much of the budget is used up."""
        self.progress = progress

    def end_step(self) -> None:
        """Put the weights back to where the method wants them."""
        self.model.constrain()

    @torch.no_grad()
    def evaluate(self, model: MapModel) -> Evaluation:
        """Return the energy distance of moved rows to the target, on the rows held out."""
        x, z = self.sides.held_out
        found = energy_terms(self.pushed(model, x), z)
        terms = (found.of_first, found.of_second)
        finite = math.isfinite(found.value)
        record = {"energy": found.value, "energy_by_chance": found.chance}
        return Evaluation(found.value, terms, record, trusted=finite)

    def pushed(self, model: MapModel, x: Tensor) -> Tensor:
        """Return rows whose law is compared with the target's: (n, d) -> (n, d); the forward map by default."""
        return model.moved(x)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps taken."""
        return {"taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the number of steps taken."""
        self.taken = int(state["taken"])

    def draw_source(self, n: int) -> Tensor:
        """Return n source rows in the coordinates: (n, d)."""
        return self.sides.source(n, self.generator)

    def draw_target(self, n: int) -> Tensor:
        """Return n target rows in the coordinates: (n, d)."""
        return self.sides.target(n, self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers like the rows of the sides."""
        like = self.sides.held_out[0]
        return torch.randn(shape, generator=self.generator, dtype=like.dtype).to(like)

    def uniform(self, *shape: int) -> Tensor:
        """Return uniform numbers from 0 to 1 like the rows of the sides."""
        like = self.sides.held_out[0]
        return torch.rand(shape, generator=self.generator, dtype=like.dtype).to(like)
