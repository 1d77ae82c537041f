"""Functions of rows, applied batch by batch, so that memory stays bounded; one reader for every map."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples
from brenier.errors import DataError
from brenier.solve import Solution

Arguments = ParamSpec("Arguments")


@torch.no_grad()
def in_batches(
    function: Callable[[Tensor, slice], Tensor],
    samples: CheckedSamples,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return a function of all rows (n, ...), found batch by batch.

    Args:
        function: of some rows (b, d), float64 on the device, and of where they are among all: (b, ...).
        samples: the rows (n, d).
        batch_size: b at most.
        device: where the function works.
        precision: of the network, for the message.
        dtype: of the result.

    Raises:
        DataError: where a result is not finite, naming the first such row.
    """
    n = samples.shape[0]
    result = torch.empty(0)
    lost = list[Tensor]()
    for first in range(
        0, max(1, n), batch_size
    ):  # of no rows there is one batch, which tells the shape
        rows = samples.rows(first, first + batch_size).to(device, torch.float64)
        found = function(rows, slice(first, first + len(rows)))
        if first == 0:
            result = found.new_empty((n, *found.shape[1:]), dtype=dtype)
        result[first : first + len(found)] = found
        finite = torch.isfinite(found)
        if found.ndim > 1:
            finite = finite.all(-1)
        lost.append((~finite).nonzero().squeeze(-1) + first)
    rows = torch.cat(lost)
    if rows.numel():
        raise DataError(
            f"{samples.name}: {rows.numel()} of {n} rows, the first row {int(rows[0])}, lie "
            f"so far from the training data that {str(precision).removeprefix('torch.')} overflows; remove them, "
            "or fit in other units or with dtype='float64'"
        )
    return result


def with_solutions(
    function: Callable[Arguments, tuple[Tensor, Solution]],
    apply: Callable[[Callable[Arguments, Tensor]], Tensor],
) -> tuple[Tensor, Solution]:
    """Return the results of a function that solves inner problems, applied batch by batch, and how all solves went.

    Args:
        function: returns the results of one batch, and how its solves went.
        apply: applies a function that returns results alone to all batches.
    """
    solutions = list[Solution]()

    def solve(*arguments: Arguments.args, **options: Arguments.kwargs) -> Tensor:
        found, solution = function(*arguments, **options)
        solutions.append(solution)
        return found

    found = apply(solve)
    return found, Solution.concatenate(solutions)
