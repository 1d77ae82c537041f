"""A linear regulator: coupled linear dynamics with quadratic costs that weigh the controls differently."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.linalg import vecdot

from brenier.control.checks import require_number
from brenier.control.known_hamiltonians import QuadraticHamiltonian
from brenier.control.problem import UsualTraining
from brenier.control.problems.riccati import KnownByRiccati, LinearQuadratic
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class LinearRegulator(KnownByRiccati):
    """z' = A z + B u with L = (z' Q z + u' R u) / 2, G = terminal_weight |z|^2 / 2, initial states standard normal.

    Matrices are anything that numpy takes for one, and are kept as tuples of rows.

    Attributes:
        horizon: T.
        steps: of the usual discretisation of [0, T].
        A: of the state in the dynamics, (d, d); by default random, of 10 states.
        B: of the control, (d, m); by default random, of 4 controls.
        Q: weights of the state, (d, d), symmetric with no eigenvalue below zero; by default the identity.
        R: weights of the control, (m, m), symmetric positive definite; by default the diagonal 0.5, 1, 2, 4.
        terminal_weight: of the squared length of the last state.
    """

    A: ArrayLike = dataclasses.field(default_factory=lambda: _example()[0])
    B: ArrayLike = dataclasses.field(default_factory=lambda: _example()[1])
    Q: ArrayLike = dataclasses.field(default_factory=lambda: np.eye(10))
    R: ArrayLike = dataclasses.field(default_factory=lambda: np.diag([0.5, 1, 2, 4]))
    terminal_weight: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        what = "the weight of the terminal cost"
        require_number("terminal_weight", self.terminal_weight, what)
        found = {name: _as_matrix(name, getattr(self, name)) for name in "ABQR"}
        rows, m = len(found["A"]), found["B"].shape[1]
        shapes = {"A": (rows, rows), "B": (rows, m), "Q": (rows, rows), "R": (m, m)}
        for name, matrix in found.items():
            if matrix.shape != shapes[name]:
                raise DataError(
                    f"{name}: has shape {matrix.shape} where A has {rows} rows and B {m} columns; "
                    f"give one of shape {shapes[name]}",
                    argument=name,
                )
        _check_weights("Q", found["Q"], zero=True)
        _check_weights("R", found["R"], zero=False)
        for name, matrix in found.items():
            object.__setattr__(self, name, tuple(map(tuple, matrix.tolist())))

    def usual_training(self) -> UsualTraining:
        """Return what was found to work: where costs are smooth and mild, a high rate."""
        return UsualTraining(learning_rate=3e-2)

    @property
    def state_dim(self) -> int:
        """The number of states: rows of A."""
        return len(self.matrices.A)

    @property
    def control_dim(self) -> int:
        """The number of controls: columns of B."""
        return self.matrices.B.shape[1]

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return A z + B u: (n, d)."""
        A, B, _, _ = self._like(z)
        return z @ A.mT + u @ B.mT

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return L: (n,)."""
        _, _, Q, R = self._like(z)
        return (vecdot(z, z @ Q) + vecdot(u, u @ R)) / 2

    def terminal_cost(self, z: Tensor) -> Tensor:
        """Return G: (n,)."""
        return self.terminal_weight / 2 * vecdot(z, z)

    def terminal_gradient(self, z: Tensor) -> Tensor:
        """Return grad G: (n, d)."""
        return self.terminal_weight * z

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw standard normal states: (n, d)."""
        return torch.randn(n, self.state_dim, generator=generator, dtype=torch.float64)

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> QuadraticHamiltonian:
        """Return u' R u / 2 + p . B u."""
        _, B, _, R = self._like(p)
        return QuadraticHamiltonian(p @ B, R)

    @functools.cached_property
    def matrices(self) -> LinearQuadratic:
        """The matrices of the dynamics and costs."""
        A, B, Q, R = map(np.asarray, (self.A, self.B, self.Q, self.R))
        F = self.terminal_weight * np.eye(len(A))
        return LinearQuadratic(A=A, B=B, Q=Q, R=R, F=F, horizon=self.horizon)

    def _like(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return A, B, Q and R in the precision and on the device of z."""
        kind = (z.dtype, z.device)
        if kind not in self._tensors:
            known = self.matrices
            self._tensors[kind] = tuple(
                torch.as_tensor(part, dtype=z.dtype, device=z.device)
                for part in (known.A, known.B, known.Q, known.R)
            )
        return self._tensors[kind]

    @functools.cached_property
    def _tensors(self) -> dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]]:
        """A, B, Q and R as they were asked for."""
        return {}


def _example() -> tuple[ArrayLike, ArrayLike]:
    """Return a random A of 10 states and B of 4 controls, always the same."""
    rng = np.random.default_rng(0)
    A = 0.5 * rng.standard_normal((10, 10)) / np.sqrt(10)
    return A, rng.standard_normal((10, 4)) / np.sqrt(4)


def _as_matrix(name: str, values: ArrayLike) -> np.ndarray:
    """Return a matrix of finite numbers, or refuse what is none."""
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise DataError(
            f"{name}: must be a matrix of finite numbers; give a table of rows, all of one length",
            argument=name,
        )
    return matrix


def _check_weights(name: str, matrix: np.ndarray, *, zero: bool) -> None:
    """Refuse weights that are not symmetric, or have eigenvalues below zero, or zero where that is not allowed."""
    if not np.allclose(matrix, matrix.T):
        raise DataError(
            f"{name}: is not symmetric; give ({name} + its transpose) / 2, which costs the same",
            argument=name,
        )
    spectrum = np.linalg.eigvalsh(matrix)
    rounding = len(matrix) * np.finfo(np.float64).eps * abs(spectrum).max()
    if spectrum[0] < -rounding or (not zero and spectrum[0] <= rounding):
        wanted = "not below zero" if zero else "above zero"
        raise DataError(
            f"{name}: has the eigenvalue {spectrum[0]:.3g}; give weights whose eigenvalues are {wanted}",
            argument=name,
        )
