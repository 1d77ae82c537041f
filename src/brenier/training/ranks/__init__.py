"""Processes that talk to each other while they train: who they are, what they say, and how objects travel."""

from brenier.training.ranks.group import RankError, Ranks, RankSettings, connected

__all__ = ["RankError", "RankSettings", "Ranks", "connected"]
