"""Several processes, this one and its workers, that share the work of J.

A mean of networks asks for a batch each: where these can be dealt out evenly, every process takes one at a time, and
while the others are at work the next is drawn here. Else they share the rows of a batch, which are strangers: of k
processes each takes every k-th of them, g(x) first, then the inner problems. Once all terms are known and weighed, each
finds the derivatives of its own. What comes out is J and its gradient as one process finds them, up to rounding.
Batches, weights, the optimiser and selection stay in this process.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brenier.errors import DataWarning, warn
from brenier.potentials import Potential
from brenier.solve import Method, Solution
from brenier.training.run import Run
from brenier.training.workers.process import LostError, Near, packed
from brenier.training.workers.worker import ROWS, tensors_of, trained_of
from brenier.transport.dual.objective import (
    CANDIDATES,
    Batch,
    Draw,
    Terms,
    envelope,
    terms,
)

SHARE = 12_000_000  # rows times parameters: what a process should have to do in a step, at least
LONG_TIME, LONG_STEPS = (
    20.0,
    200,
)  # of a run during which workers have time to start, which takes seconds
SLOW = 120.0  # seconds after which a worker will not be waited for


def processes_for(run: Run) -> int:
    """Return how many processes are worth starting: one per thread of torch, if batches will be large enough."""
    settings, potential = run.settings, run.parts[0]
    long = (
        settings.max_steps >= LONG_STEPS
        if settings.max_time is None
        else settings.max_time >= LONG_TIME
    )
    rows = settings.rows(int(min(settings.max_steps, sys.maxsize)))
    return max(1, min(torch.get_num_threads(), _shares(potential, rows))) if long else 1


class Team:
    """Finds the terms of J, as `dual.in_turn` does, in several processes; a context, after which the others have ended.

    Args:
        processes: how many, this one included.
        potentials: what they will differentiate first.
        method: inner solver.
        patient: whether the first evaluation waits for the workers, so that results are the same every time; else this
            process goes alone until they have started.
    """

    def __init__(
        self,
        processes: int,
        potentials: Sequence[Potential],
        method: Method,
        patient: bool,
    ) -> None:
        self._processes, self._method, self._patient = processes, method, patient
        self._first = dict(enumerate(potentials))
        self._keys = weakref.WeakKeyDictionary(
            {potential: key for key, potential in self._first.items()}
        )
        self._new = len(self._first)
        self._held: dict[Near, set[int]] = defaultdict(set)
        self._workers: list[Near] = []
        self._lost = ""

    def __enter__(self) -> Team:
        self._threads = torch.get_num_threads()
        hello = b""
        try:
            hello = packed(self._first, self._method)
            for _ in range(self._processes - 1):
                self._workers.append(Near())
        except LostError as lost:
            self._lost = lost.reason
        self._greeting = threading.Thread(
            target=self._greet, args=(hello,), daemon=True
        )
        self._greeting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._greeting.join()
        torch.set_num_threads(self._threads)

    def __call__(
        self, draws: Sequence[Draw], **how: Any
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Draw every batch, in order; yield those that are worked on at once, each with its terms, as `Evaluate` says.

        Raises:
            LostError: where a worker is lost.
        """
        first = draws[0]()
        batches = itertools.chain([first], (draw() for draw in draws[1:]))
        shares = min(
            self._processes, _shares(first.potential, min(len(first.x), len(first.z)))
        )
        apart = max(
            k
            for k in range(1, len(draws) + 1)
            if len(draws) % k == 0 and k <= self._processes
        )
        k = max(shares, apart) if shares else 1
        torch.set_num_threads(self._threads if k < 2 else 1)  # one for every process
        workers = self._workers[: k - 1] if k > 1 and self._ready() else []
        if workers and apart == k:
            yield from self._apart(workers, batches, how)
        for batch in batches:
            yield [
                (
                    batch,
                    self._shared(workers, batch, how)
                    if workers
                    else terms(batch, **how),
                )
            ]

    def _apart(
        self, workers: Sequence[Near], batches: Iterator[Batch], how: dict[str, Any]
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Have each process take a batch, this one the last, and again until there are no more."""
        while asked := [
            self._asked(worker, batch, how)
            for worker, batch in zip(workers, batches, strict=False)
        ]:
            own = next(batches)
            mine = terms(own, **how)
            answered = zip(workers, asked, strict=True)
            yield [
                *(
                    (batch, self._answered(worker, *told))
                    for worker, (batch, told) in answered
                ),
                (own, mine),
            ]

    def _asked(
        self, worker: Near, batch: Batch, how: dict[str, Any]
    ) -> tuple[Batch, tuple[int, Tensor | None]]:
        """Ask a worker for the terms of a batch; return that, its key, and what stands for their derivatives."""
        key, arrays, derivatives = self._begun([worker], batch.potential)
        points = _arrays(batch.x, batch.z, batch.start)
        worker.ask(
            "terms",
            packed(
                key,
                arrays,
                derivatives is not None,
                *points,
                skip_fraction=batch.skip_fraction,
                **how,
            ),
        )
        return batch, (key, derivatives)

    def _answered(self, worker: Near, key: int, derivatives: Tensor | None) -> Terms:
        source, target, fields = worker.answer()
        others = torch.from_numpy(source), torch.from_numpy(target)
        if derivatives is not None:
            others = _Others.apply(derivatives, [worker], key, others)
        return Terms(*others, _solution(fields))

    def _begun(
        self, workers: Sequence[Near], potential: Potential
    ) -> tuple[int, list[np.ndarray], Tensor | None]:
        """Return the key of a potential, what it is made of, and what stands for the derivatives of workers, if any."""
        trained = trained_of(potential)
        differentiated = torch.is_grad_enabled() and bool(trained)
        arrays = [tensor.detach().numpy() for tensor in tensors_of(potential)]
        return (
            self._key(potential, workers),
            arrays,
            _Derivatives.apply(workers, *trained) if differentiated else None,
        )

    def _shared(
        self, workers: Sequence[Near], batch: Batch, how: dict[str, Any]
    ) -> Terms:
        """Have the processes share the rows of a batch."""
        k, potential, x, z, start = (
            1 + len(workers),
            batch.potential,
            batch.x,
            batch.z,
            batch.start,
        )
        key, arrays, derivatives = self._begun(workers, potential)
        for i, worker in enumerate(workers, 1):
            worker.ask(
                "source", packed(key, arrays, derivatives is not None, x[i::k].numpy())
            )
        own = potential(x[::k])
        sources = [torch.from_numpy(worker.answer()) for worker in workers]
        near, values = x[:CANDIDATES], _joined([own.detach(), *sources])[:CANDIDATES]
        mine, *theirs = (
            (z[i::k], None if start is None else start[i::k], near, values)
            for i in range(k)
        )
        how = how | {"skip_fraction": batch.skip_fraction}
        for worker, points in zip(workers, theirs, strict=True):
            worker.ask("target", packed(key, *_arrays(*points), **how))
        own_target, solution = envelope(potential, *mine, **how)
        answers = [worker.answer() for worker in workers]
        others = (*sources, *(torch.from_numpy(target) for target, _ in answers))
        if derivatives is not None:
            others = _Others.apply(derivatives, workers, key, others)
        solutions = [solution, *(_solution(fields) for _, fields in answers)]
        return Terms(
            _joined([own, *others[: k - 1]]),
            _joined([own_target, *others[k - 1 :]]),
            _one(solutions),
        )

    def _key(self, potential: Potential, workers: Sequence[Near]) -> int:
        """Return what idle workers know a potential by, told if they do not."""
        key = self._keys.setdefault(potential, self._new)
        if key == self._new:
            self._new += 1
        ignorant = [worker for worker in workers if key not in self._held[worker]]
        if ignorant:
            self._hold(ignorant, packed({key: potential}), key)
        return key

    def _hold(self, workers: Sequence[Near], told: bytes, *keys: int) -> None:
        """Have idle workers keep potentials under their keys."""
        for worker in workers:
            worker.ask("hold", told)
        for worker in workers:
            worker.answer()
            self._held[worker].update(keys)

    def _greet(self, hello: bytes) -> None:
        """Wait until the workers have started and read what they will need."""
        if self._lost:
            return
        try:
            self._hold(self._workers, hello, *self._first)
        except LostError as lost:
            self._lost = lost.reason

    def _ready(self) -> bool:
        """Say whether there are workers that have started, waiting for it if patient; warn once where they cannot."""
        if self._patient:
            self._greeting.join(SLOW)
            if self._greeting.is_alive():
                self._lost = f"none had started after {SLOW:.0f} seconds"
        elif self._greeting.is_alive():
            return False
        if self._lost:
            reason = self._lost.splitlines()[-1]
            warn(
                f"n_jobs: training goes on in one process, since no other could take part: {reason}",
                DataWarning,
            )
            self._lost, self._processes = "", 1
        return self._processes > 1


class _Derivatives(torch.autograd.Function):
    """Stands for what the workers differentiate. Made first, it is differentiated last, and waits for them."""

    @staticmethod
    def forward(ctx: Any, workers: Sequence[Near], *parameters: Tensor) -> Tensor:
        """Return a number that the terms of the workers depend on."""
        ctx.workers = workers
        return parameters[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return the sum of what the workers found."""
        found = [worker.answer() for worker in ctx.workers]
        return None, *(
            functools.reduce(torch.add, map(torch.from_numpy, parts))
            for parts in zip(*found, strict=True)
        )


class _Others(torch.autograd.Function):
    """The terms of the workers. Made last, they are differentiated first: all are asked before the own rows follow."""

    @staticmethod
    def forward(
        ctx: Any,
        derivatives: Tensor,
        workers: Sequence[Near],
        key: int,
        found: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return g(x) of every worker, then env(z) of every worker."""
        ctx.workers, ctx.key = workers, key
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """Ask the workers for their derivatives."""
        half = len(ctx.workers)
        for worker, *pair in zip(
            ctx.workers, cotangents[:half], cotangents[half:], strict=True
        ):
            worker.ask(
                "differentiate",
                packed(ctx.key, *(cotangent.numpy() for cotangent in pair)),
            )
        return cotangents[0].new_zeros(()), None, None, None


def _arrays(*points: Tensor | None) -> list[np.ndarray | None]:
    return [None if rows is None else rows.numpy() for rows in points]


def _shares(potential: Potential, rows: int) -> int:
    """Return among how many processes a step of so many rows may be shared."""
    return (
        rows * sum(parameter.numel() for parameter in potential.parameters()) // SHARE
    )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the rows of all parts, of which the i-th has every k-th row from i on."""
    whole = torch.cat(list(parts))
    return whole[_places(len(parts), len(whole))]


def _places(k: int, n: int) -> Tensor:
    """Return where each of n rows is among those of k parts laid end to end: (n,)."""
    return torch.cat([torch.arange(i, n, k) for i in range(k)]).argsort()


def _solution(fields: dict[str, Any]) -> Solution:
    return Solution(
        **{name: torch.from_numpy(fields[name]) for name in ROWS},
        evaluations=fields["evaluations"],
    )


def _one(parts: Sequence[Solution]) -> Solution:
    """Return the solution for all rows."""
    whole = Solution.concatenate(parts)
    places = _places(len(parts), len(whole.status))
    return dataclasses.replace(
        whole, **{name: getattr(whole, name)[places] for name in ROWS}
    )
