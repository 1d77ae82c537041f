"""Processes that talk to each other while they train: who they are, what they say, and how objects travel."""

from brenier.training.ranks.group import Ranks, connected
from brenier.training.ranks.leading import (
    call,
    dismiss,
    leading,
    leaving,
    led,
    share_run,
)
from brenier.training.ranks.patience import RankError, RankSettings

__all__ = [
    "RankError",
    "RankSettings",
    "Ranks",
    "call",
    "connected",
    "dismiss",
    "leading",
    "leaving",
    "led",
    "share_run",
]
