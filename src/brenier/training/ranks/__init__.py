"""Processes that talk to each other while they train: who they are, what they say, and how objects travel."""

from brenier.training.ranks.group import RankError, Ranks, RankSettings, connected
from brenier.training.ranks.leading import call, dismiss, leading, led, share_run

__all__ = [
    "RankError",
    "RankSettings",
    "Ranks",
    "call",
    "connected",
    "dismiss",
    "leading",
    "led",
    "share_run",
]
