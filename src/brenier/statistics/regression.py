"""A Gaussian whose mean and covariance depend on covariates, smoothly and with no choice left open.

The rows, whitened, are modelled as N(P^{-1} b, (P'P)^{-1}) with a lower triangular P and a b whose entries are
polynomials of the covariates: the modified Cholesky decomposition (Pourahmadi, 1999).
The likelihood then falls apart into one convex problem per row of P,

    minimise over theta   mean of (v' theta)^2 / 2 - log P_jj(c),   v = phi(c) x (x_1 ... x_j, 1),

phi the monomials: all but the coefficients of P_jj are least squares and are eliminated; Newton's method finds those.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from sklearn.preprocessing import PolynomialFeatures
from torch import Tensor

from brenier.statistics.gaussian import fit_gaussian, matrix_power

DEGREES = 6  # the largest degree tried
PER_TERM = 4  # rows per coefficient of an entry, at least
LEAST = 0.05  # diagonal of P, where a polynomial would fall below it
ROUNDS = 50  # of Newton's method, at most
LOGS = 20_000  # rows over which the mean of the logarithm is taken, at most


@dataclasses.dataclass(frozen=True)
class GaussianRegression:
    """The fit.

    Attributes:
        degree: of the polynomials.
        centre: (d,), mean of all rows.
        root: (d, d), square root of the covariance of all rows.
        theta: (d, d + 1, f), coefficients of the entries of P and, last, of -b.
    """

    degree: int
    centre: Tensor
    root: Tensor
    theta: Tensor

    @classmethod
    def fit(cls, rows: Tensor, covariates: Tensor) -> GaussianRegression:
        """Return the fit to rows (n, d), float64, with covariates (n, p) between -1 and 1.

        The degree is the one under which every fourth row, left out, is most likely.
        """
        left = torch.arange(len(rows)) % 4 == 0
        values = len(covariates.unique(dim=0))
        best, best_score = 0, -np.inf
        for degree in range(min(DEGREES, values - 1) + 1):
            if PER_TERM * _monomials(covariates[:1], degree).shape[1] > int(
                (~left).sum()
            ):
                break
            score = cls.of_degree(rows[~left], covariates[~left], degree).likelihood(
                rows[left], covariates[left]
            )
            if score > best_score:
                best, best_score = degree, score
        return cls.of_degree(rows, covariates, best)

    @classmethod
    def of_degree(
        cls, rows: Tensor, covariates: Tensor, degree: int
    ) -> GaussianRegression:
        """Return the fit with polynomials of a given degree."""
        overall = fit_gaussian(rows)
        root = matrix_power(overall.covariance, 0.5)
        white = torch.linalg.solve(root, (rows - overall.mean).mT).mT
        terms, (n, d) = _monomials(covariates, degree), rows.shape
        f = terms.shape[1]
        products = torch.cat(
            [white.unsqueeze(-1) * terms.unsqueeze(1), terms.unsqueeze(1)], 1
        ).flatten(1)
        gram = products.mT @ products / n
        gram.diagonal().add_(1 / n)  # a unit Gaussian counts as much as one row
        theta = torch.zeros(d, d + 1, f, dtype=torch.float64)
        constant = torch.arange(d * f, (d + 1) * f)
        for j in range(d):
            own, others = (
                torch.arange(j * f, (j + 1) * f),
                torch.cat([torch.arange(j * f), constant]),
            )
            along = torch.linalg.solve(gram[others][:, others], gram[others][:, own])
            diagonal = _newton(
                gram[own][:, own] - gram[own][:, others] @ along,
                terms[:: n // LOGS + 1],
            )
            theta[j].view(-1)[own], theta[j].view(-1)[others] = (
                diagonal,
                -along @ diagonal,
            )
        return cls(degree, overall.mean, root, theta)

    def at(self, covariates: Tensor) -> tuple[Tensor, Tensor]:
        """Return means (n, d) and covariances (n, d, d) for covariates (n, p)."""
        factor, shift = self._factor(covariates)
        spread = self.root @ torch.linalg.solve_triangular(
            factor, torch.eye(len(self.root)).to(factor), upper=False
        )
        mean = torch.linalg.solve_triangular(
            factor, shift.unsqueeze(-1), upper=False
        ).squeeze(-1)
        return self.centre + mean @ self.root, spread @ spread.mT

    def likelihood(self, rows: Tensor, covariates: Tensor) -> float:
        """Return the mean log-likelihood of rows (n, d), up to a constant."""
        factor, shift = self._factor(covariates)
        white = torch.linalg.solve(self.root, (rows - self.centre).mT).mT
        away = (factor @ white.unsqueeze(-1)).squeeze(-1) - shift
        logs = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return float((logs - 0.5 * away.square().sum(-1)).mean())

    def _factor(self, covariates: Tensor) -> tuple[Tensor, Tensor]:
        """Return P (n, d, d) and b (n, d)."""
        entries = torch.einsum(
            "nf,jif->nji", _monomials(covariates, self.degree), self.theta
        )
        factor, shift = entries[..., :-1].clone(), -entries[..., -1]
        diagonal = factor.diagonal(dim1=-2, dim2=-1)
        diagonal.clamp_(min=LEAST)
        return factor, shift


def _newton(curvature: Tensor, terms: Tensor) -> Tensor:
    """Return the a (f,) that minimises a' C a / 2 - mean of log(phi' a), convex, by damped steps."""
    a = torch.zeros(len(curvature), dtype=torch.float64)
    a[0] = curvature[0, 0] ** -0.5  # the first monomial is one

    def value(at: Tensor) -> Tensor:
        heights = terms @ at
        return (
            0.5 * at @ curvature @ at - heights.log().mean()
            if bool((heights > 0).all())
            else at.new_tensor(np.inf)
        )

    for _ in range(ROUNDS):
        scaled = terms / (terms @ a).unsqueeze(-1)
        gradient = curvature @ a - scaled.mean(0)
        step = torch.linalg.solve(curvature + scaled.mT @ scaled / len(terms), gradient)
        decrement, length = float(gradient @ step), 1.0
        if decrement < 1e-16:
            break
        while length > 1e-6 and not bool(
            value(a - length * step) <= value(a) - 0.25 * length * decrement
        ):
            length /= 2
        a = a - length * step
    return a


def _monomials(covariates: Tensor, degree: int) -> Tensor:
    """Return the monomials of covariates (n, p), the first of them one: (n, f)."""
    return torch.from_numpy(
        PolynomialFeatures(degree).fit_transform(covariates.numpy())
    )
