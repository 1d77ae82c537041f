"""Figures, each one PNG: how training went, how inner solves went, what the map does, how well it inverts."""

from brenier.report.plots.classes import class_scatter
from brenier.report.plots.maps import (
    SCATTER,
    ScatterSettings,
    round_trip_histogram,
    scatter,
)
from brenier.report.plots.training import inner_convergence, loss_curve

__all__ = [
    "SCATTER",
    "ScatterSettings",
    "class_scatter",
    "inner_convergence",
    "loss_curve",
    "round_trip_histogram",
    "scatter",
]
