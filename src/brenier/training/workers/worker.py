"""A worker: a process that evaluates J for some rows and differentiates it, with weights that it is told every time.

It reads requests from its standard input and writes answers to its standard output, as pickles, until the input ends:
so it ends with the process that started it, however that ends. What is printed in it goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution
from brenier.transport.dual import Batch, envelope, terms

COMMAND = "from brenier.training.workers.worker import main; main()"
ROWS = ("point", "residual", "steps", "status")  # of a solution


class Worker:
    """Copies of potentials by key, and of each the terms of J last found."""

    def __init__(self) -> None:
        self._potentials: dict[int, Potential] = {}
        self._terms: dict[int, tuple[Tensor, ...]] = {}

    def hold(self, potentials: dict[int, Potential], *_: Any) -> None:
        """Keep potentials under their keys; what else is sent was only to be read."""
        self._potentials |= potentials

    def terms(
        self,
        key: int,
        arrays: Sequence[np.ndarray],
        differentiated: bool,
        *points: np.ndarray | None,
        **how: Any,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Return g(x), env(z) and the fields of the solution for a whole batch.

        Args:
            key: which potential.
            arrays: what it is made of now, in the order of `tensors_of`.
            differentiated: whether `differentiate` may follow.
            points: x, z and start, as in `Batch`.
            how: the share of rows that may be left, and how to solve the inner problems (see `conjugate`).
        """
        x, z, start = _tensors(points)
        batch = Batch(
            self._told(key, arrays, differentiated),
            x,
            z,
            start,
            how.pop("skip_fraction"),
        )
        source, target, solution = terms(batch, **how)
        self._terms[key] = source, target
        return source.detach().numpy(), target.detach().numpy(), _fields(solution)

    def source(
        self,
        key: int,
        arrays: Sequence[np.ndarray],
        differentiated: bool,
        x: np.ndarray,
    ) -> np.ndarray:
        """Return g(x), (n, d) -> (n,); other arguments are those of `terms`."""
        found = self._told(key, arrays, differentiated)(torch.from_numpy(x))
        self._terms[key] = (found,)
        return found.detach().numpy()

    def target(
        self, key: int, *points: np.ndarray | None, **how: Any
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return env(z) and the fields of the solution; the points and how are those of `envelope`."""
        found, solution = envelope(self._potentials[key], *_tensors(points), **how)
        self._terms[key] += (found,)
        return found.detach().numpy(), _fields(solution)

    def differentiate(self, key: int, *cotangents: np.ndarray) -> list[np.ndarray]:
        """Return the derivatives by every parameter of the terms last found, summed with cotangents (n,), (m,)."""
        trained, weights = (
            trained_of(self._potentials[key]),
            [torch.from_numpy(array) for array in cotangents],
        )
        found = torch.autograd.grad(
            self._terms.pop(key), trained, weights, materialize_grads=True
        )
        return [gradient.numpy() for gradient in found]

    def _told(
        self, key: int, arrays: Sequence[np.ndarray], differentiated: bool
    ) -> Potential:
        """Return the potential of a key as it is now."""
        potential = self._potentials[key]
        with torch.no_grad():
            for tensor, array in zip(tensors_of(potential), arrays, strict=True):
                tensor.copy_(torch.from_numpy(array))
        torch.set_grad_enabled(differentiated)
        return potential


def _tensors(points: Sequence[np.ndarray | None]) -> list[Any]:
    return [None if rows is None else torch.from_numpy(rows) for rows in points]


def _fields(solution: Solution) -> dict[str, Any]:
    rows = {name: getattr(solution, name).numpy() for name in ROWS}
    return rows | {"evaluations": solution.evaluations}


def tensors_of(potential: Potential) -> list[Tensor]:
    """Return everything a potential is made of."""
    return [*potential.parameters(), *potential.buffers()]


def trained_of(potential: Potential) -> list[Tensor]:
    """Return the parameters by which it is differentiated."""
    return [
        parameter for parameter in potential.parameters() if parameter.requires_grad
    ]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests, each a name and its pickled arguments, by (True, result) or (False, what went wrong)."""
    worker = Worker()
    while True:
        try:
            name, packed = pickle.load(requests)
        except EOFError:
            return
        try:
            arguments, keywords = pickle.loads(packed)
            answer = True, getattr(worker, name)(*arguments, **keywords)
        except Exception:
            answer = False, traceback.format_exc().strip()
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


def main() -> None:
    """Serve the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is for that process
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)
