"""The inner loop: many small independent minimisations at once, one per row of a batch.

`minimise` runs a *method* on a *problem* and returns a `Solution`. Methods: `BFGS` (the default), `LBFGS`, `NewtonCG`,
`Anderson`, `GradientStep`; `OrthantBFGS` for objectives with kinks; `ProjectedNewton` within bounds.
Rules for differentiating the solution: `detached`, `one_step`, `implicit`, `unrolled`.
Nothing here knows of transport; any objective that is evaluated row by row will do.
"""

from brenier.solve.bfgs import BFGS
from brenier.solve.box import BoxedProblem, ProjectedNewton, projected_residual
from brenier.solve.firstorder import Anderson, GradientStep
from brenier.solve.gradients import Rule, detached, implicit, one_step, unrolled
from brenier.solve.lbfgs import LBFGS
from brenier.solve.loop import (
    Iterate,
    KinkedProblem,
    MeasuresErrors,
    Method,
    Problem,
    minimise,
)
from brenier.solve.newton import NewtonCG
from brenier.solve.orthant import OrthantBFGS, natural_residual
from brenier.solve.positions import positions
from brenier.solve.solution import Solution, Status

__all__ = [
    "BFGS",
    "LBFGS",
    "Anderson",
    "BoxedProblem",
    "GradientStep",
    "Iterate",
    "KinkedProblem",
    "MeasuresErrors",
    "Method",
    "NewtonCG",
    "OrthantBFGS",
    "Problem",
    "ProjectedNewton",
    "Rule",
    "Solution",
    "Status",
    "detached",
    "implicit",
    "minimise",
    "natural_residual",
    "one_step",
    "positions",
    "projected_residual",
    "unrolled",
]
