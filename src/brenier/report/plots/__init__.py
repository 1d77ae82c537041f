"""Figures, each one file: how training and inner solves went, what a map or a policy does, what drifted."""

from brenier.report.plots.classes import class_scatter
from brenier.report.plots.control import (
    control_training,
    courses,
    nearest_agents,
    value_slices,
)
from brenier.report.plots.drift import (
    DRIFT_PLOT,
    displacement_chart,
    distributions,
)
from brenier.report.plots.drift_weeks import WEEK_PLOT, weeks_chart
from brenier.report.plots.maps import (
    SCATTER,
    ScatterSettings,
    round_trip_histogram,
    scatter,
)
from brenier.report.plots.swarm import animation, paths_picture
from brenier.report.plots.training import inner_convergence, loss_curve

__all__ = [
    "DRIFT_PLOT",
    "SCATTER",
    "WEEK_PLOT",
    "ScatterSettings",
    "animation",
    "class_scatter",
    "control_training",
    "courses",
    "displacement_chart",
    "distributions",
    "inner_convergence",
    "loss_curve",
    "nearest_agents",
    "paths_picture",
    "round_trip_histogram",
    "scatter",
    "value_slices",
    "weeks_chart",
]
