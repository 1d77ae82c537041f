"""Worker processes that share the work of training, whatever that is."""

from brenier.training.workers.pool import WorkerPool
from brenier.training.workers.process import WorkerError, WorkerProcess, serialise

__all__ = ["WorkerError", "WorkerPool", "WorkerProcess", "serialise"]
