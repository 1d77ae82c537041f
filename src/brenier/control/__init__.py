"""Optimal feedback control: a value function whose gradient steers, by the control that minimises a Hamiltonian."""

from brenier.control.hamiltonian import AutodiffHamiltonian, Hamiltonian
from brenier.control.problem import Bounds, ControlProblem

__all__ = ["AutodiffHamiltonian", "Bounds", "ControlProblem", "Hamiltonian"]
