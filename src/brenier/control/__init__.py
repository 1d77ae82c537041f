"""Optimal feedback control: a value function whose gradient steers, by the control that minimises a Hamiltonian."""

from brenier.control.controller import (
    Action,
    Controller,
    DirectController,
    ImplicitController,
)
from brenier.control.hamiltonian import AutodiffHamiltonian, Hamiltonian
from brenier.control.known_hamiltonians import (
    ExponentialHamiltonian,
    QuadraticHamiltonian,
    QuarticHamiltonian,
)
from brenier.control.optimal_control import (
    OptimalControl,
    trajectory_facts,
    usual_settings,
)
from brenier.control.policy import FeedbackPolicy
from brenier.control.policy_files import holds_policy
from brenier.control.problem import (
    Bounds,
    ControlProblem,
    KnownValue,
    UsualTraining,
)
from brenier.control.problems import (
    PROBLEMS,
    Bicycle,
    Consumption,
    DoubleIntegrator,
    ExponentialIntegrator,
    LinearRegulator,
    QuadraticIntegrator,
    Quadrotor,
    QuarticDoubleIntegrator,
    problem_name,
    problem_named,
)
from brenier.control.problems.swarm import smallest_distance
from brenier.control.rollout import Grid, Trajectory, equation_along, roll_out
from brenier.control.search import ControlGradient, ControlSearch
from brenier.control.task import ControlSettings, ControlTask
from brenier.control.value import ValueFunction, ValueJet, ValueNetwork

__all__ = [
    "PROBLEMS",
    "Action",
    "AutodiffHamiltonian",
    "Bicycle",
    "Bounds",
    "Consumption",
    "ControlGradient",
    "ControlProblem",
    "ControlSearch",
    "ControlSettings",
    "ControlTask",
    "Controller",
    "DirectController",
    "DoubleIntegrator",
    "ExponentialHamiltonian",
    "ExponentialIntegrator",
    "FeedbackPolicy",
    "Grid",
    "Hamiltonian",
    "ImplicitController",
    "KnownValue",
    "LinearRegulator",
    "OptimalControl",
    "QuadraticHamiltonian",
    "QuadraticIntegrator",
    "Quadrotor",
    "QuarticDoubleIntegrator",
    "QuarticHamiltonian",
    "Trajectory",
    "UsualTraining",
    "ValueFunction",
    "ValueJet",
    "ValueNetwork",
    "equation_along",
    "holds_policy",
    "problem_name",
    "problem_named",
    "roll_out",
    "smallest_distance",
    "trajectory_facts",
    "usual_settings",
]
