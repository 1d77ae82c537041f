"""Worker processes that share the work of training, whatever that is."""

from brenier.training.workers.pool import WorkerPool
from brenier.training.workers.process import WorkerError, WorkerProcess, serialise
from brenier.training.workers.threads import threads_kept

__all__ = ["WorkerError", "WorkerPool", "WorkerProcess", "serialise", "threads_kept"]
