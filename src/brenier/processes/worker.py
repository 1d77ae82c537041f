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

from brenier.dual import envelope
from brenier.potentials import Potential

COMMAND = "from brenier.processes.worker import main; main()"
ROWS = ("point", "residual", "steps", "status")  # of a solution


class Worker:
    """Copies of potentials, and the terms of J last found."""

    def __init__(self) -> None:
        self._potentials: dict[int, Potential] = {}

    def hold(self, key: int, potential: Potential, *_: Any) -> None:
        """Keep a potential under a key; what else is sent was only to be read."""
        self._potentials[key] = potential

    def source(self, key: int, arrays: Sequence[np.ndarray], x: np.ndarray, differentiated: bool) -> np.ndarray:
        """Return g(x): (n, d) -> (n,).

        Args:
            key: which potential.
            arrays: what it is made of now, in the order of `tensors_of`.
            x: (n, d).
            differentiated: whether `differentiate` may follow `target`.
        """
        self._potential = self._potentials[key]
        with torch.no_grad():
            for tensor, array in zip(tensors_of(self._potential), arrays, strict=True):
                tensor.copy_(torch.from_numpy(array))
        torch.set_grad_enabled(differentiated)
        self._source = self._potential(torch.from_numpy(x))
        return self._source.detach().numpy()

    def target(self, *points: np.ndarray | None, **how: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Return env(z) and the fields of the solution; arguments are those of `envelope`."""
        z, start, x, values = (None if rows is None else torch.from_numpy(rows) for rows in points)
        self._target, solution = envelope(self._potential, z, start, x, values, **how)  # type: ignore[arg-type]
        rows = {name: getattr(solution, name).numpy() for name in ROWS}
        return self._target.detach().numpy(), rows | {"evaluations": solution.evaluations}

    def differentiate(self, *cotangents: np.ndarray) -> list[np.ndarray]:
        """Return the derivatives by every parameter of the terms last found, summed with cotangents (n,), (m,)."""
        terms, weights = (self._source, self._target), [torch.from_numpy(array) for array in cotangents]
        found = torch.autograd.grad(terms, trained_of(self._potential), weights, materialize_grads=True)
        return [gradient.numpy() for gradient in found]


def tensors_of(potential: Potential) -> list[Tensor]:
    """Return everything a potential is made of."""
    return [*potential.parameters(), *potential.buffers()]


def trained_of(potential: Potential) -> list[Tensor]:
    """Return the parameters by which it is differentiated."""
    return [parameter for parameter in potential.parameters() if parameter.requires_grad]


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
