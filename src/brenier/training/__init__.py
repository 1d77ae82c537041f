"""The outer loop: any task is trained by the same run, with selection, rollback and checkpoints. Knows no transport."""

from brenier.training.checkpoint import fingerprint, read_run, remove_run
from brenier.training.resume import Keeper, Start, resume_or_start, train
from brenier.training.run import Run
from brenier.training.settings import Settings
from brenier.training.task import Evaluation, Loss, Task
from brenier.training.workers import WorkerError, WorkerPool, WorkerProcess, serialise

__all__ = [
    "Evaluation",
    "Keeper",
    "Loss",
    "Run",
    "Settings",
    "Start",
    "Task",
    "WorkerError",
    "WorkerPool",
    "WorkerProcess",
    "fingerprint",
    "read_run",
    "remove_run",
    "resume_or_start",
    "serialise",
    "train",
]
