"""Several processes that share the work of J, and when they are worth it.

In training each process draws its part of a batch, solves its inner problems and differentiates its terms (see `task`).
Of rows that all of them hold, such as those held out, each of k processes takes every k-th: g(x) first, since inner
problems may start at any x, then the inner problems. What comes out is J as one process finds it, up to rounding.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution
from brenier.training import Ranks, Settings
from brenier.transport.dual.objective import Batch, SolverOptions, Terms, envelope

# The fields of a solution that have a row for every problem.
SOLUTION_ROWS = ("point", "residual", "steps", "status")


@dataclasses.dataclass(frozen=True)
class ParallelSettings:
    """When several processes are worth their cost.

    Attributes:
        process_work: rows times parameters that a process should have to do in a step, at least; adding up gradients
            costs more than it saves where it has less.
        threaded_work: the same where torch has threads that would share the step as well. Chosen by what workers of
            version 0.1 took, which were sent their rows: of 1,024 in d = 64 two threads took 38 ms and two processes
            47, of 4,096 rows 127 and 121.
        parallel_seconds, parallel_steps: of a run during which processes have time to start, which takes seconds.
    """

    process_work: int = 12_000_000
    threaded_work: int = 60_000_000
    parallel_seconds: float = 20.0
    parallel_steps: int = 200

    def shares(self, potential: Potential, rows: int) -> int:
        """Return among how many processes a step of so many rows may be shared."""
        parameters = sum(parameter.numel() for parameter in potential.parameters())
        threaded = torch.get_num_threads() > 1
        work = max(self.process_work, self.threaded_work if threaded else 0)
        return rows * parameters // work

    def worthwhile_processes(
        self, members: Sequence[Potential], settings: Settings
    ) -> int:
        """Return how many processes are worth starting: one per thread of torch, if batches will be large enough."""
        if settings.max_time is None:
            long = settings.max_steps >= self.parallel_steps
        else:
            long = settings.max_time >= self.parallel_seconds
        if not long:
            return 1
        return self.processes(members, settings, torch.get_num_threads())

    def processes(
        self,
        members: Sequence[Potential],
        settings: Settings,
        most: int,
        step: float = math.inf,
    ) -> int:
        """Return how many processes, of at most so many, a step is large enough for.

        Args:
            members: of an ensemble, which can be dealt out before rows are.
            settings: of the run.
            most: how many there may be.
            step: which; by default the last, whose batch is the largest.
        """
        rows = settings.rows(int(min(step, settings.max_steps, sys.maxsize)))
        shares = self.shares(members[0], rows)
        if not shares:
            return 1
        return max(1, min(most, shares), math.gcd(most, len(members)))


@dataclasses.dataclass(frozen=True)
class SharedRows:
    """Finds the terms of J of rows that all ranks hold, as `sequential` does.

    Attributes:
        ranks: the processes, all of which ask for the same batches.
    """

    ranks: Ranks

    @torch.no_grad()
    def __call__(
        self, batches: Iterable[Batch], count: int, options: SolverOptions
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Find the terms of every batch, as `Evaluator` says; they cannot be differentiated."""
        for batch in batches:
            yield [(batch, self._terms(batch, options))]

    def _terms(self, batch: Batch, options: SolverOptions) -> Terms:
        """Return the terms of J on a batch."""
        first, k = self.ranks.rank, self.ranks.size
        own = batch.potential(batch.x[first::k])
        source = self._interleaved(own)
        candidates = batch.x[: options.starts.max_candidates]
        start = None if batch.start is None else batch.start[first::k]
        target, solution = envelope(
            batch.potential,
            batch.z[first::k],
            start,
            candidates,
            source[: len(candidates)],
            options,
            batch.skip_fraction,
        )
        rows = {
            name: self._interleaved(getattr(solution, name)) for name in SOLUTION_ROWS
        }
        evaluations = sum(self.ranks.gathered(solution.evaluations))
        whole = Solution(**rows, evaluations=evaluations)
        return Terms(source, self._interleaved(target), whole)

    def _interleaved(self, own: Tensor) -> Tensor:
        """Return the rows of all ranks, of which the i-th has every k-th row from i on."""
        parts = self.ranks.others(own)
        parts.insert(self.ranks.rank, own.detach())
        whole = torch.cat(parts)
        k, n = len(parts), len(whole)
        places = torch.cat([torch.arange(n)[i::k] for i in range(k)]).argsort()
        return whole[places.to(whole.device)]
