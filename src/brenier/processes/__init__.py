"""Training in several processes: each evaluates J for its share of the rows."""

from brenier.processes.team import Team, processes_for

__all__ = ["Team", "processes_for"]
