"""The quadratic potential: affine maps, and the coercive part of every other potential."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from brenier.errors import DataError
from brenier.potentials.base import Potential

CURVATURE_FLOOR = 1e-3  # numerical floor: smallest curvature of psi that any parameters can reach, by default


@dataclasses.dataclass(frozen=True)
class QuadraticSettings:
    """How quadratic parts are worked with.

    Attributes:
        kept_from_dim: dimension from which on the product L L' is kept: below it costs less than to see whether L is
            the same.
        first_curvature: of a part that is bounded below, which should start at zero: so small that it moves nothing,
            large enough that L, whose product it is, has a gradient.
    """

    kept_from_dim: int = 128
    first_curvature: float = 0.01


QUADRATIC = QuadraticSettings()


class KeptProduct(NamedTuple):
    """A factor and its matrix."""

    factor: Tensor
    matrix: Tensor


class Quadratic(Potential):
    """g(x) = x'(M - I)x/2 + c.x with M = L L' + eps I: the map T(x) = M x + c.

    Where g itself is to be bounded below, g(x) = x'Mx/2 + c.x, which for other costs than the squared distance makes
    inner problems coercive.

    Args:
        dim: d.
        matrix: (d, d) symmetric positive definite, the M to start at; the identity by default.
        shift: (d,), the c to start at; zero by default.
        eps: smallest eigenvalue M can reach, whatever the parameters.
        bounded_below: whether g is, and not only psi; M then starts at a small multiple of the identity.

    Raises:
        DataError: where the matrix is not symmetric with eigenvalues above eps.
    """

    def __init__(
        self,
        dim: int,
        matrix: Tensor | None = None,
        shift: Tensor | None = None,
        *,
        eps: float = CURVATURE_FLOOR,
        bounded_below: bool = False,
    ) -> None:
        super().__init__()
        self.dim, self.eps, self.bounded_below = dim, eps, bounded_below
        if matrix is None:
            matrix = torch.eye(dim) if shift is None else torch.eye(dim).to(shift)
            if bounded_below:
                matrix = QUADRATIC.first_curvature * matrix
        shift = torch.zeros(dim) if shift is None else shift.detach()
        self.factor = nn.Parameter(_factor(matrix.detach(), eps))
        self.shift = nn.Parameter(shift.to(matrix).clone())
        self._kept: KeptProduct | None = None

    def matrix(self) -> Tensor:
        """Return M - I, or M where g is bounded below: (d, d).

        Without a graph it is found once for one factor: the product takes d^3 operations.
        """
        if torch.is_grad_enabled() or self.dim < QUADRATIC.kept_from_dim:
            return self._matrix()
        kept = self._kept
        if kept is None or not _equal_in_type(kept.factor, self.factor):
            factor = self.factor.detach().clone()
            kept = self._kept = KeptProduct(factor, self._matrix())
        return kept.matrix

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs, which is not what was kept."""
        return {**self.__dict__, "_kept": None}

    def _matrix(self) -> Tensor:
        eye = torch.eye(self.dim, dtype=self.factor.dtype, device=self.factor.device)
        less = 0 if self.bounded_below else 1
        return self.factor @ self.factor.mT + (self.eps - less) * eye

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        return self.value_and_gradient(x)[0]

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d)."""
        moved = x @ self.matrix()
        return (x * (0.5 * moved + self.shift)).sum(-1), moved + self.shift

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return (M - I) v: (n, d)."""
        return (v @ self.matrix()).detach()

    def strong_convexity(self) -> float:
        """Return the smallest eigenvalue of the Hessian of psi: that of M, or of I + M where g is bounded below."""
        smallest = torch.linalg.eigvalsh(self.matrix().detach().double())[0]
        least = self.eps + 1 if self.bounded_below else self.eps
        return max(least, 1 + float(smallest))  # rounding may take it below

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"bounded_below": True} if self.bounded_below else {}
        return {"dim": self.dim, "eps": self.eps, **own}


def _equal_in_type(first: Tensor, second: Tensor) -> bool:
    """Say whether two tensors are the same numbers, of one type and in one place."""
    alike = (first.dtype, first.device) == (second.dtype, second.device)
    return alike and torch.equal(first, second)  # which compares across types


def _factor(matrix: Tensor, eps: float) -> Tensor:
    """Return L with L L' + eps I = matrix."""
    if matrix.is_meta:  # only shapes are asked for
        return torch.empty_like(matrix)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    factor, failed = torch.linalg.cholesky_ex(matrix - eps * eye)
    if int(failed) or not torch.allclose(matrix, matrix.mT, rtol=1e-4, atol=1e-6):
        raise DataError(
            f"matrix: must be symmetric with every eigenvalue above eps = {eps:g}; regularise it, for example "
            "matrix + 0.01 * torch.eye(d), or pass a smaller eps"
        )
    return factor
