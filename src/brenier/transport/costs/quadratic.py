"""Quadratic costs: the squared distance, and that of a metric of one's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from brenier.errors import DataError
from brenier.transport.costs.base import KnownCost


@dataclasses.dataclass(frozen=True)
class SquaredEuclidean(KnownCost):
    """c(x, z) = |z - x|^2 / 2, for which T = grad psi with psi convex (Brenier, 1991).

    >>> import torch
    >>> x, z = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    >>> SquaredEuclidean()(x, z)
    tensor([12.5000])
    """

    degree = 2.0
    contains_square = True
    dominates_square = True
    of_distance = True

    def value(self, v: Tensor) -> Tensor:
        """Return |v|^2 / 2: (n, d) -> (n,)."""
        return v.square().sum(-1) / 2

    def gradient(self, v: Tensor) -> Tensor:
        """Return v: (n, d)."""
        return v

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return s: (n, d)."""
        return s

    def pairwise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) of all pairs of rows: (n, d), (m, d) -> (m, n)."""
        return torch.cdist(z, x).square() / 2


class Mahalanobis(KnownCost):
    """c(x, z) = (z - x)' M (z - x) / 2: the squared distance after the change of variables x -> M^(1/2) x.

    Args:
        matrix: (d, d), M, symmetric positive definite, for example the inverse of a covariance.

    Raises:
        DataError: where the matrix is not one.

    >>> import torch
    >>> cost = Mahalanobis([[4.0, 0.0], [0.0, 1.0]])
    >>> cost(torch.zeros(1, 2), torch.ones(1, 2))
    tensor([2.5000])
    """

    degree = 2.0

    def __init__(self, matrix: ArrayLike | Tensor) -> None:
        self.matrix = _metric_of(matrix)
        values, vectors = torch.linalg.eigh(self.matrix)
        precision = torch.finfo(values.dtype).eps
        if not float(values[0]) > len(values) * precision * float(values[-1]):
            raise DataError(
                f"matrix: must be positive definite, its least eigenvalue is {float(values[0]):.3g}; add a small "
                "multiple of the identity, or leave out features that are combinations of others"
            )
        self.root = (vectors * values.sqrt()) @ vectors.mT
        self.inverse_root = (vectors / values.sqrt()) @ vectors.mT

    @property
    def dim(self) -> int:
        """How many features the matrix is for."""
        return len(self.matrix)

    def value(self, v: Tensor) -> Tensor:
        """Return v'Mv / 2: (n, d) -> (n,)."""
        return (v @ self.root.to(v)).square().sum(-1) / 2

    def gradient(self, v: Tensor) -> Tensor:
        """Return M v: (n, d)."""
        return v @ self.matrix.to(v)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return M^(-1) s: (n, d)."""
        inverse = self.inverse_root.to(s)
        return s @ inverse @ inverse

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mahalanobis) and torch.equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash(self.dim)

    def __repr__(self) -> str:
        return f"Mahalanobis({self.matrix.tolist()})"


def _metric_of(given: ArrayLike | Tensor) -> Tensor:
    """Return a symmetric matrix in float64.

    Raises:
        DataError: where it is none of finite numbers.
    """
    try:
        whole = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
        matrix = torch.from_numpy(np.array(whole, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"matrix: must be a (d, d) array of numbers, got {type(given).__name__} ({error})"
        ) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise DataError(f"matrix: must be (d, d), got {tuple(matrix.shape)}")
    if not bool(matrix.isfinite().all()):
        raise DataError("matrix: holds values that are not finite; give numbers only")
    if not torch.allclose(matrix, matrix.mT, rtol=1e-6, atol=0.0):
        raise DataError(
            "matrix: must be symmetric; give (matrix + matrix.T) / 2, which has the same cost"
        )
    return (matrix + matrix.mT) / 2
