"""The outer loop: any task is trained by the same run, with selection, rollback and checkpoints. Knows no transport."""

from brenier.training.checkpoint import (
    fingerprint,
    read_run,
    remove_finished,
    remove_run,
    reopen_run,
)
from brenier.training.clock import Clock
from brenier.training.joint import (
    LocalRanks,
    conducted,
    follow,
    launched,
    place_of_process,
)
from brenier.training.optimiser import MakeOptimiser
from brenier.training.progress import PatientStream, Progress
from brenier.training.ranks import (
    RankError,
    Ranks,
    RankSettings,
    call,
    dismiss,
    leaving,
    led,
    share_run,
)
from brenier.training.resume import (
    Keeper,
    Start,
    resume_or_start,
    start_anew,
    train,
)
from brenier.training.run import Run
from brenier.training.settings import Settings
from brenier.training.task import Evaluation, Loss, Task
from brenier.training.threads import threads_kept

__all__ = [
    "Clock",
    "Evaluation",
    "Keeper",
    "LocalRanks",
    "Loss",
    "MakeOptimiser",
    "PatientStream",
    "Progress",
    "RankError",
    "RankSettings",
    "Ranks",
    "Run",
    "Settings",
    "Start",
    "Task",
    "call",
    "conducted",
    "dismiss",
    "fingerprint",
    "follow",
    "launched",
    "leaving",
    "led",
    "place_of_process",
    "read_run",
    "remove_finished",
    "remove_run",
    "reopen_run",
    "resume_or_start",
    "share_run",
    "start_anew",
    "threads_kept",
    "train",
]
