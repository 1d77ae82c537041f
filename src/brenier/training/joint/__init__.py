"""Several processes, of one machine or of many, that take the steps of one run together."""

from brenier.training.joint.following import conducted, follow
from brenier.training.joint.launched import launched, place_of_process
from brenier.training.joint.local import LocalRanks

__all__ = ["LocalRanks", "conducted", "follow", "launched", "place_of_process"]
