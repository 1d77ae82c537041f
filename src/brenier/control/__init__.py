"""Optimal feedback control: a value function whose gradient steers, by the control that minimises a Hamiltonian."""

from brenier.control.hamiltonian import AutodiffHamiltonian, Hamiltonian
from brenier.control.known_hamiltonians import (
    ExponentialHamiltonian,
    QuadraticHamiltonian,
    QuarticHamiltonian,
)
from brenier.control.problem import Bounds, ControlProblem, KnownValue

__all__ = [
    "AutodiffHamiltonian",
    "Bounds",
    "ControlProblem",
    "ExponentialHamiltonian",
    "Hamiltonian",
    "KnownValue",
    "QuadraticHamiltonian",
    "QuarticHamiltonian",
]
