"""Several processes, of one machine or of many, that take the steps of one run together."""

from brenier.training.joint.following import call, dismiss, follow, share_run
from brenier.training.joint.launched import launched, place_of_process
from brenier.training.joint.local import LocalRanks

__all__ = [
    "LocalRanks",
    "call",
    "dismiss",
    "follow",
    "launched",
    "place_of_process",
    "share_run",
]
