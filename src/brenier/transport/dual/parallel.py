"""Several processes, this one and its workers, that share the work of J.

A mean of networks asks for a batch each: where these can be dealt out evenly, every process takes one at a time, and
while the others are at work the next is drawn here. Else they share the rows of a batch, which are independent: of k
processes each takes every k-th of them, g(x) first, then the inner problems. Once all terms are known and weighted,
each finds the derivatives of its own. What comes out is J and its gradient as one process finds them, up to rounding.
Batches, weights, the optimiser and selection stay in this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import sys
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Method, Solution
from brenier.training import Settings, WorkerError, WorkerPool, WorkerProcess, serialise
from brenier.transport.dual.derivatives import WorkerDerivatives, WorkerTerms
from brenier.transport.dual.objective import (
    Batch,
    SolverOptions,
    Terms,
    envelope,
    terms_of,
)
from brenier.transport.dual.task import DualTask
from brenier.transport.dual.worker import (
    SOLUTION_ROWS,
    Array,
    DualWorker,
    arrays,
    solution_of,
    tensors_of,
    trained_of,
)


@dataclasses.dataclass(frozen=True)
class ParallelSettings:
    """When several processes are worth their cost.

    Attributes:
        process_work: rows times parameters that a process should have to do in a step, at least; telling it the weights
            costs more than it saves where it has less.
        parallel_seconds, parallel_steps: of a run during which workers have time to start, which takes seconds.
        max_worker_wait: seconds after which a worker that has not started will not be waited for.
    """

    process_work: int = 12_000_000
    parallel_seconds: float = 20.0
    parallel_steps: int = 200
    max_worker_wait: float = 120.0

    def shares(self, potential: Potential, rows: int) -> int:
        """Return among how many processes a step of so many rows may be shared."""
        parameters = sum(parameter.numel() for parameter in potential.parameters())
        return rows * parameters // self.process_work

    def worthwhile_processes(self, task: DualTask, settings: Settings) -> int:
        """Return how many processes are worth starting: one per thread of torch, if batches will be large enough."""
        if settings.max_time is None:
            long = settings.max_steps >= self.parallel_steps
        else:
            long = settings.max_time >= self.parallel_seconds
        if not long:
            return 1
        rows = settings.rows(int(min(settings.max_steps, sys.maxsize)))
        shares = self.shares(task.members()[0], rows)
        return max(1, min(torch.get_num_threads(), shares))


@contextlib.contextmanager
def shared_among(
    task: DualTask, processes: int, patient: bool, settings: ParallelSettings
) -> Iterator[Callable[[], int]]:
    """Let several processes share the work of a task; after the block, however it ends, the others have ended.

    Yields a function that says how many processes there are, which may be fewer than asked for.

    Args:
        task: the task.
        processes: how many, this one included; one leaves everything as it is.
        patient: whether the first step waits for the workers, so that results are the same every time; else this
            process goes alone until they have started.
        settings: when several processes are worth their cost.
    """
    if processes == 1:
        yield lambda: 1
        return
    alone = task.objective
    with ParallelDual(
        processes, task.members(), alone.method, patient, settings
    ) as evaluator:
        task.objective = dataclasses.replace(alone, evaluator=evaluator)
        try:
            yield lambda: evaluator.pool.processes
        finally:
            task.objective = alone


class ParallelDual:
    """Finds the terms of J, as `sequential` does, in several processes; a context, after which the others have ended.

    Args:
        processes: how many, this one included.
        potentials: what they will differentiate first.
        method: inner solver.
        patient: whether the first evaluation waits for the workers.
        settings: when several processes are worth their cost.
    """

    def __init__(
        self,
        processes: int,
        potentials: Sequence[Potential],
        method: Method | None,
        patient: bool,
        settings: ParallelSettings | None = None,
    ) -> None:
        self._settings = settings or ParallelSettings()
        first = dict(enumerate(potentials))
        self._keys = weakref.WeakKeyDictionary(
            {potential: key for key, potential in first.items()}
        )
        self._next_key = len(first)
        self._registered: dict[WorkerProcess, set[int]] = defaultdict(
            lambda: set(first)
        )
        self.pool = WorkerPool(
            processes,
            DualWorker,
            _handshake(first, method),
            patient,
            self._settings.max_worker_wait,
        )

    def __enter__(self) -> ParallelDual:
        self.pool.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.pool.__exit__(kind, error, at)

    def __call__(
        self, batches: Iterable[Batch], count: int, options: SolverOptions
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Find the terms of every batch, as `Evaluator` says.

        Raises:
            WorkerError: where a worker is lost.
        """
        remaining = iter(batches)
        first = next(remaining)
        remaining = itertools.chain([first], remaining)
        at_once = self._batches_at_once(count)
        processes = self._processes_for(first, at_once)
        # One thread for every process.
        torch.set_num_threads(self.pool.threads if processes < 2 else 1)
        workers = self.pool.workers(processes - 1)
        if workers and at_once == processes:
            yield from self._dealt_out(workers, remaining, options)
        for batch in remaining:
            terms = (
                self._shared(workers, batch, options)
                if workers
                else terms_of(batch, options)
            )
            yield [(batch, terms)]

    def _batches_at_once(self, count: int) -> int:
        """Return the largest number of processes among which so many batches can be dealt out evenly."""
        at_most = range(1, min(count, self.pool.processes) + 1)
        return max(k for k in at_most if count % k == 0)

    def _processes_for(self, batch: Batch, at_once: int) -> int:
        """Return how many processes work on batches like this one."""
        rows = min(len(batch.x), len(batch.z))
        shares = min(self.pool.processes, self._settings.shares(batch.potential, rows))
        return max(shares, at_once) if shares else 1

    def _dealt_out(
        self,
        workers: Sequence[WorkerProcess],
        batches: Iterator[Batch],
        options: SolverOptions,
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Have each process take a batch, this one the last, and again until there are no more."""
        while True:
            asked = [
                self._ask(worker, batch, options)
                for worker, batch in zip(workers, batches, strict=False)
            ]
            if not asked:
                return
            own = next(batches)
            own_terms = terms_of(own, options)
            answered = [request.answer() for request in asked]
            yield [*answered, (own, own_terms)]

    def _ask(
        self, worker: WorkerProcess, batch: Batch, options: SolverOptions
    ) -> _Request:
        """Ask a worker for the terms of a batch."""
        key, weights, derivatives = self._prepare([worker], batch.potential)
        points = arrays((batch.x, batch.z, batch.start))
        differentiated = derivatives is not None
        worker.ask(
            "terms",
            serialise(
                key, weights, differentiated, points, batch.skip_fraction, options
            ),
        )
        return _Request(worker, batch, key, derivatives)

    def _prepare(
        self, workers: Sequence[WorkerProcess], potential: Potential
    ) -> tuple[int, list[Array], Tensor | None]:
        """Return the key of a potential, its weights, and what stands for the derivatives of workers, if any."""
        trained = trained_of(potential)
        weights = [tensor.detach().numpy() for tensor in tensors_of(potential)]
        derivatives = None
        if torch.is_grad_enabled() and trained:
            derivatives = WorkerDerivatives.apply(workers, *trained)
        return self._key(potential, workers), weights, derivatives

    def _shared(
        self, workers: Sequence[WorkerProcess], batch: Batch, options: SolverOptions
    ) -> Terms:
        """Have the processes share the rows of a batch."""
        k = 1 + len(workers)
        potential, x = batch.potential, batch.x
        key, weights, derivatives = self._prepare(workers, potential)
        differentiated = derivatives is not None
        for i, worker in enumerate(workers, 1):
            worker.ask(
                "source", serialise(key, weights, differentiated, x[i::k].numpy())
            )
        own_source = potential(x[::k])
        sources = [torch.from_numpy(worker.answer()) for worker in workers]

        candidates = x[: options.starts.max_candidates]
        values = _interleaved([own_source.detach(), *sources])[: len(candidates)]
        for i, worker in enumerate(workers, 1):
            points = (*_every(batch, i, k), candidates, values)
            request = serialise(key, arrays(points), batch.skip_fraction, options)
            worker.ask("target", request)
        z, start = _every(batch, 0, k)
        own_target, own_solution = envelope(
            potential, z, start, candidates, values, options, batch.skip_fraction
        )
        answers = [worker.answer() for worker in workers]
        targets = [torch.from_numpy(target) for target, _ in answers]

        others = (*sources, *targets)
        if derivatives is not None:
            others = WorkerTerms.apply(derivatives, workers, key, others)
        solutions = [own_solution, *(solution_of(fields) for _, fields in answers)]
        return Terms(
            _interleaved([own_source, *others[: k - 1]]),
            _interleaved([own_target, *others[k - 1 :]]),
            _interleaved_solution(solutions),
        )

    def _key(self, potential: Potential, workers: Sequence[WorkerProcess]) -> int:
        """Return what idle workers know a potential by, told if they do not."""
        key = self._keys.setdefault(potential, self._next_key)
        if key == self._next_key:
            self._next_key += 1
        stale = [worker for worker in workers if key not in self._registered[worker]]
        if stale:
            told = serialise({key: potential})
            for worker in stale:
                worker.ask("register", told)
            for worker in stale:
                worker.answer()
                self._registered[worker].add(key)
        return key


@dataclasses.dataclass(frozen=True)
class _Request:
    """A batch that a worker is working on."""

    worker: WorkerProcess
    batch: Batch
    key: int
    derivatives: Tensor | None

    def answer(self) -> tuple[Batch, Terms]:
        """Wait for the terms of the batch."""
        source, target, fields = self.worker.answer()
        found = torch.from_numpy(source), torch.from_numpy(target)
        if self.derivatives is not None:
            found = WorkerTerms.apply(self.derivatives, [self.worker], self.key, found)
        return self.batch, Terms(*found, solution_of(fields))


def _handshake(
    potentials: dict[int, Potential], method: Method | None
) -> bytes | WorkerError:
    """Return what workers read first, or why it cannot be sent."""
    try:
        return serialise(potentials, method)
    except WorkerError as error:
        return error


def _every(batch: Batch, first: int, k: int) -> tuple[Tensor, Tensor | None]:
    """Return every k-th row of z, and of the first iterates, from one on."""
    start = None if batch.start is None else batch.start[first::k]
    return batch.z[first::k], start


def _interleaved(chunks: Sequence[Tensor]) -> Tensor:
    """Return the rows of all chunks, of which the i-th has every k-th row from i on."""
    whole = torch.cat(list(chunks))
    return whole[_places(len(chunks), len(whole))]


def _interleaved_solution(chunks: Sequence[Solution]) -> Solution:
    """Return the solution for the rows of all chunks."""
    whole = Solution.concatenate(chunks)
    places = _places(len(chunks), len(whole.status))
    rows = {name: getattr(whole, name)[places] for name in SOLUTION_ROWS}
    return dataclasses.replace(whole, **rows)


def _places(k: int, n: int) -> Tensor:
    """Return where each of n rows is among those of k chunks laid end to end: (n,)."""
    return torch.cat([torch.arange(i, n, k) for i in range(k)]).argsort()
