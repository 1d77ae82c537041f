"""A Gaussian whose mean and covariance depend on covariates, smoothly and with no choice left open.

The rows, whitened, are modelled as N(P^{-1} b, (P'P)^{-1}) with a lower triangular P and a b whose entries are
polynomials of the covariates: the modified Cholesky decomposition ("Joint mean-covariance models with applications to
longitudinal data", Pourahmadi, 1999). The likelihood then separates into one convex problem per row of P,

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


@dataclasses.dataclass(frozen=True)
class RegressionSettings:
    """How the regression is fitted.

    Attributes:
        max_polynomial_degree: the largest degree tried; a degree is also below the number of distinct covariates.
        rows_per_coefficient: rows fitted per coefficient of an entry of P, at least.
        validation_one_in: one row in so many is left out to choose the degree by.
        min_cholesky_diagonal: diagonal of P where a polynomial would fall below it.
        logarithm_rows: rows over which the mean of the logarithm is taken, at most; it is smooth in the covariates.
        regression_newton_steps: of Newton's method, at most; a handful is usual.
        regression_decrement: twice the predicted decrease at which Newton's method ends.
        regression_shortest_step: fraction of a Newton step below which it is shortened no more.
    """

    max_polynomial_degree: int = 6
    rows_per_coefficient: int = 4
    validation_one_in: int = 4
    min_cholesky_diagonal: float = 0.05
    logarithm_rows: int = 20_000
    regression_newton_steps: int = 50
    regression_decrement: float = 1e-16
    regression_shortest_step: float = 1e-6


@dataclasses.dataclass(frozen=True)
class GaussianRegression:
    """The fit.

    Attributes:
        degree: of the polynomials.
        centre: (d,), mean of all rows.
        root: (d, d), square root of the covariance of all rows.
        theta: (d, d + 1, f), coefficients of the entries of P and, last, of -b.
        min_diagonal: of P.
    """

    degree: int
    centre: Tensor
    root: Tensor
    theta: Tensor
    min_diagonal: float = RegressionSettings.min_cholesky_diagonal

    @classmethod
    def fit(
        cls,
        rows: Tensor,
        covariates: Tensor,
        settings: RegressionSettings = RegressionSettings(),
    ) -> GaussianRegression:
        """Return the fit to rows (n, d), float64, with covariates (n, p) between -1 and 1.

        The degree is the one under which every fourth row (`validation_one_in`), left out, is most likely.
        """
        left_out = torch.arange(len(rows)) % settings.validation_one_in == 0
        fitted = ~left_out
        values = len(covariates.unique(dim=0))
        most = min(settings.max_polynomial_degree, values - 1)
        best, best_score = 0, -np.inf
        for degree in range(most + 1):
            coefficients = _monomials(covariates[:1], degree).shape[1]
            if settings.rows_per_coefficient * coefficients > int(fitted.sum()):
                break
            candidate = cls.of_degree(
                rows[fitted], covariates[fitted], degree, settings
            )
            score = candidate.likelihood(rows[left_out], covariates[left_out])
            if score > best_score:
                best, best_score = degree, score
        return cls.of_degree(rows, covariates, best, settings)

    @classmethod
    def of_degree(
        cls,
        rows: Tensor,
        covariates: Tensor,
        degree: int,
        settings: RegressionSettings = RegressionSettings(),
    ) -> GaussianRegression:
        """Return the fit with polynomials of a given degree."""
        overall = fit_gaussian(rows)
        root = matrix_power(overall.covariance, 0.5)
        white = torch.linalg.solve(root, (rows - overall.mean).mT).mT
        terms = _monomials(covariates, degree)
        n, d = rows.shape
        f = terms.shape[1]
        by_feature = white.unsqueeze(-1) * terms.unsqueeze(1)
        products = torch.cat([by_feature, terms.unsqueeze(1)], 1).flatten(1)
        gram = products.mT @ products / n
        gram.diagonal().add_(1 / n)  # a unit Gaussian counts as much as one row
        thinned = terms[:: n // settings.logarithm_rows + 1]
        theta = torch.zeros(d, d + 1, f, dtype=torch.float64)
        constant = torch.arange(d * f, (d + 1) * f)
        for j in range(d):
            own = torch.arange(j * f, (j + 1) * f)
            others = torch.cat([torch.arange(j * f), constant])
            along = torch.linalg.solve(gram[others][:, others], gram[others][:, own])
            eliminated = gram[own][:, others] @ along
            curvature = gram[own][:, own] - eliminated
            diagonal = _diagonal_coefficients(curvature, thinned, settings)
            entries = theta[j].view(-1)
            entries[own] = diagonal
            entries[others] = -along @ diagonal
        return cls(degree, overall.mean, root, theta, settings.min_cholesky_diagonal)

    def at(self, covariates: Tensor) -> tuple[Tensor, Tensor]:
        """Return means (n, d) and covariances (n, d, d) for covariates (n, p)."""
        factor, shift = self._factor(covariates)
        eye = torch.eye(len(self.root)).to(factor)
        inverse = torch.linalg.solve_triangular(factor, eye, upper=False)
        scale = self.root @ inverse
        column = shift.unsqueeze(-1)
        mean = torch.linalg.solve_triangular(factor, column, upper=False).squeeze(-1)
        return self.centre + mean @ self.root, scale @ scale.mT

    def likelihood(self, rows: Tensor, covariates: Tensor) -> float:
        """Return the mean log-likelihood of rows (n, d), up to a constant."""
        factor, shift = self._factor(covariates)
        white = torch.linalg.solve(self.root, (rows - self.centre).mT).mT
        normalised = (factor @ white.unsqueeze(-1)).squeeze(-1) - shift
        logs = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return float((logs - 0.5 * normalised.square().sum(-1)).mean())

    def _factor(self, covariates: Tensor) -> tuple[Tensor, Tensor]:
        """Return P (n, d, d) and b (n, d)."""
        terms = _monomials(covariates, self.degree)
        entries = torch.einsum("nf,jif->nji", terms, self.theta)
        factor = entries[..., :-1].clone()
        shift = -entries[..., -1]
        diagonal = factor.diagonal(dim1=-2, dim2=-1)
        diagonal.clamp_(min=self.min_diagonal)
        return factor, shift


def _diagonal_coefficients(
    curvature: Tensor, terms: Tensor, settings: RegressionSettings
) -> Tensor:
    """Return the a (f,) that minimises a' C a / 2 - mean of log(phi' a), convex, by damped Newton steps."""
    a = torch.zeros(len(curvature), dtype=torch.float64)
    a[0] = curvature[0, 0] ** -0.5  # the first monomial is one

    def value(at: Tensor) -> Tensor:
        heights = terms @ at
        if not bool((heights > 0).all()):
            return at.new_tensor(np.inf)
        return 0.5 * at @ curvature @ at - heights.log().mean()

    for _ in range(settings.regression_newton_steps):
        scaled = terms / (terms @ a).unsqueeze(-1)
        gradient = curvature @ a - scaled.mean(0)
        hessian = curvature + scaled.mT @ scaled / len(terms)
        step = torch.linalg.solve(hessian, gradient)
        decrement, length = float(gradient @ step), 1.0
        if decrement < settings.regression_decrement:
            break
        # Armijo's rule: the value falls by a quarter of what the slope promises.
        while length > settings.regression_shortest_step and not bool(
            value(a - length * step) <= value(a) - 0.25 * length * decrement
        ):
            length /= 2
        a = a - length * step
    return a


def _monomials(covariates: Tensor, degree: int) -> Tensor:
    """Return the monomials of covariates (n, p), the first of them one: (n, f)."""
    features = PolynomialFeatures(degree).fit_transform(covariates.numpy())
    return torch.from_numpy(features)
