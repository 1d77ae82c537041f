"""Row-wise solvers: many independent minimisations at once. Knows tensors and functions, not transport."""

from brenier.solve.bfgs import BFGS
from brenier.solve.firstorder import Anderson, GradientStep
from brenier.solve.gradients import Rule, detached, implicit, one_step, unrolled
from brenier.solve.lbfgs import LBFGS
from brenier.solve.loop import Iterate, Method, Problem, minimise
from brenier.solve.newton import NewtonCG
from brenier.solve.solution import Solution, Status

__all__ = [
    "BFGS",
    "LBFGS",
    "Anderson",
    "GradientStep",
    "Iterate",
    "Method",
    "NewtonCG",
    "Problem",
    "Rule",
    "Solution",
    "Status",
    "detached",
    "implicit",
    "minimise",
    "one_step",
    "unrolled",
]
