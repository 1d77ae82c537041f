"""Functions of rows, applied batch by batch, so that memory stays bounded; one reader for every map."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from brenier.datasets import CheckedSamples
from brenier.errors import DataError
from brenier.potentials import usual_modes
from brenier.solve import Solution

Arguments = ParamSpec("Arguments")


def in_batches(
    function: Callable[[Tensor, slice], Tensor],
    samples: CheckedSamples,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype,
    dtype: torch.dtype = torch.float64,
    keep_graph: bool = False,
) -> Tensor:
    """Return a function of all rows (n, ...), found batch by batch.

    Args:
        function: of some rows (b, d), float64 on the device, and of where they are among all: (b, ...).
        samples: the rows (n, d).
        batch_size: b at most.
        device: where the function works.
        precision: of the network, for the message.
        dtype: of the result.
        keep_graph: whether the result has a graph to the samples, where they are a tensor that requires a gradient.

    Raises:
        DataError: where a result is not finite, in the network's precision or in that of the result, naming the first
            such row; where the samples carry derivatives of forward mode, which would be lost.
    """
    given = _with_graph(samples) if keep_graph else None
    n = samples.shape[0]
    collected = _Collected(n, dtype, keep=given is not None)
    lost = _Lost(samples.name, n)
    with usual_modes(gradients=given is not None):
        # Of no rows there is one batch, which tells the shape.
        for first in range(0, max(1, n), batch_size):
            last = first + batch_size
            rows = samples.rows(first, last) if given is None else given[first:last]
            rows = rows.to(device, torch.float64)
            found = function(rows, slice(first, first + len(rows)))
            lost.add(first, found.detach(), collected.add(first, found).detach())
        lost.check(precision, dtype)
        return collected.result()


def _with_graph(samples: CheckedSamples) -> Tensor | None:
    """Return the tensor that was given as samples where its results are to have a graph, else None."""
    given = samples.original
    if not isinstance(given, Tensor) or given.is_inference():
        return None
    if unpack_dual(given).tangent is not None:
        raise DataError(
            f"{samples.name}: carries derivatives of forward mode (jvp, jacfwd), which a map does not propagate; take "
            "those of reverse mode (torch.autograd.grad, torch.func.vjp, jacrev)",
            argument=samples.name,
        )
    return given if given.requires_grad and torch.is_grad_enabled() else None


class _Collected:
    """The results of all batches, of one type.

    Args:
        n: rows of all batches.
        dtype: of the result.
        keep: whether the results of every batch are kept as they are, with their graphs, or written into one tensor.
    """

    def __init__(self, n: int, dtype: torch.dtype, keep: bool) -> None:
        self._n, self._dtype = n, dtype
        self._parts: list[Tensor] | None = [] if keep else None
        self._all: Tensor | None = None

    def add(self, first: int, found: Tensor) -> Tensor:
        """Take in the results of the rows from `first` on; return them in the type of the result."""
        if self._parts is not None:
            self._parts.append(found.to(self._dtype))
            return self._parts[-1]
        if self._all is None:
            shape = self._n, *found.shape[1:]
            self._all = found.new_empty(shape, dtype=self._dtype)
        part = self._all[first : first + len(found)]
        part.copy_(found)
        return part

    def result(self) -> Tensor:
        """Return the results of all rows."""
        if self._parts is not None:
            return torch.cat(self._parts)
        return torch.empty(0) if self._all is None else self._all


class _Lost:
    """Rows whose results are not finite.

    Args:
        name: of the samples.
        n: how many rows there are.
    """

    def __init__(self, name: str, n: int) -> None:
        self._name, self._n = name, n
        self._computed, self._kept = list[Tensor](), list[Tensor]()

    def add(self, first: int, found: Tensor, kept: Tensor) -> None:
        """Look at the results of the rows from `first` on, as they were found and in the type of the result."""
        computed = _finite(found)
        self._computed.append((~computed).nonzero().squeeze(-1) + first)
        beyond = computed & ~_finite(kept)
        self._kept.append(beyond.nonzero().squeeze(-1) + first)

    def check(self, precision: torch.dtype, dtype: torch.dtype) -> None:
        """Raise a DataError where there are any.

        Args:
            precision: of the network.
            dtype: of the result.
        """
        rows = torch.cat(self._computed)
        if rows.numel():
            raise DataError(
                f"{self._where(rows)}, lie so far from the training data that {_word(precision)} overflows; remove "
                "them, or fit in other units or with dtype='float64'",
                argument=self._name,
            )
        rows = torch.cat(self._kept)
        if rows.numel():
            raise DataError(
                f"{self._where(rows)}, have results that {_word(dtype)} cannot hold; give {self._name} in float64",
                argument=self._name,
            )

    def _where(self, rows: Tensor) -> str:
        return f"{self._name}: {rows.numel()} of {self._n} rows, the first row {int(rows[0])}"


def _finite(found: Tensor) -> Tensor:
    """Return which rows of some results (b, ...) are finite: (b,)."""
    finite = torch.isfinite(found)
    return finite.all(-1) if found.ndim > 1 else finite


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


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
