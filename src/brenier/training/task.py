"""What a run trains: a task, which draws its own batches and knows what they mean.

A run owns the optimiser, the learning rate, the averages of the weights, rollback, selection and the checkpoint. A task
owns the model and everything that depends on the problem: the data, the loss, and what is under way between two steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from brenier.statistics import standard_error

if TYPE_CHECKING:
    from brenier.training.ranks import Ranks

Model = TypeVar("Model", bound=nn.Module)


class Loss(NamedTuple):
    """The loss of one batch, or the sum over some batches that are best differentiated together.

    Attributes:
        value: a scalar, differentiable in the model's parameters.
        records: for each of these batches the numbers a person wants to see, by the names the task declares.
        fault: why the step must not be taken, if it must not.
    """

    value: Tensor
    records: Sequence[Mapping[str, float]] = ()
    fault: str = ""


class Evaluation(NamedTuple):
    """The loss of a model on samples that training never sees.

    Attributes:
        value: the loss, by which models are selected: lower is better.
        terms: (n_i,), independent samples; the value is the sum of their means, which gives its standard error.
        record: numbers a person wants to see.
        trusted: whether the value can be relied on; a model whose value cannot is not selected.
        fresh: whether training has not drawn the same rows again and again; if it has, the least value alone decides.
    """

    value: float
    terms: tuple[Tensor, ...]
    record: Mapping[str, float]
    trusted: bool = True
    fresh: bool = True

    def standard_error(self) -> float:
        """Return the standard error of the value; inf for fewer than two samples."""
        return standard_error(*self.terms)


class Task(Protocol[Model]):
    """Something to train. A subclass writes `losses` and `evaluate`, and sets `model`.

    Attributes:
        model: the module to train, in place.
        shares: whether, once it has joined other ranks, its losses add up to the loss over all of them, and evaluations
            are of all; else a loss is the mean over a part of the batch, and the first rank evaluates.
        averages, counts: names of numbers in the records of losses; of the former the history shows the mean between
            two evaluations, of the latter the sum.
    """

    model: Model
    shares: bool = False
    averages: Sequence[str] = ()
    counts: Sequence[str] = ()

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the losses of one step, each to be differentiated before the next is asked for.

        Args:
            rows: size of a batch.
            rate: factor on the learning rate at this step, from 1 down to 0.
        """
        ...

    def evaluate(self, model: Model) -> Evaluation:
        """Return the loss of a model, one like `self.model`, on samples that training never sees."""
        ...

    def begin_step(self, progress: float) -> None:
        """Take in how much of the budget is used up, from 0 to 1, before the losses of a step."""
        return  # without a body mypy takes the method for an abstract one

    def end_step(self) -> None:
        """Look at the model after a step of the optimiser, which it may change in place."""
        return  # as above

    def join(self, pool: Ranks | None) -> None:
        """Take part with other ranks from now on, each of which has the same task, or be alone again."""
        return  # as above

    def members(self) -> Sequence[nn.Module]:
        """Return the members of an ensemble, each with a gradient of its own to be clipped; by default the model."""
        return [self.model]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups for the optimiser, each with an `lr_multiplier` on the rate of short runs, or none."""
        return [{"params": list(self.model.parameters())}]

    def state_dict(self) -> dict[str, Any]:
        """Return what is under way between two steps, beside the model; a checkpoint keeps it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what was under way."""
        return  # as above

    def summary(self, row: Mapping[str, float]) -> str:
        """Return a row of the history as a progress bar shows it."""
        return f"loss={row['value']:.5g}±{row['standard_error']:.1g}"

    def forget(self) -> None:
        """Drop what is under way: the run goes back to earlier weights."""
        return  # as above
