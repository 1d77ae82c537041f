"""Figures, each one PNG: how training went, how inner solves went, what the map does, how well it inverts."""

from brenier.report.plots.maps import (
    MAX_POINTS,
    class_scatter,
    round_trip_histogram,
    scatter,
)
from brenier.report.plots.training import inner_convergence, loss_curve

__all__ = [
    "MAX_POINTS",
    "class_scatter",
    "inner_convergence",
    "loss_curve",
    "round_trip_histogram",
    "scatter",
]
