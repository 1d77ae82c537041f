"""Gaussian regression: means and covariances that follow covariates, by polynomials of a degree found or given."""

import pytest
import torch

from brenier.statistics import GaussianRegression, RegressionSettings


def rows(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """N((c, 0), diag(1, e^{2c})) at covariates c uniform on (-1, 1)."""
    generator = torch.Generator().manual_seed(seed)
    c = 2 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 1
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return torch.cat([c + noise[:, :1], c.exp() * noise[:, 1:]], -1), c


def test_means_and_covariances_follow_the_covariates() -> None:
    fit = GaussianRegression.fit(*rows(20_000))
    at = torch.tensor([[-0.8], [0.0], [0.8]], dtype=torch.float64)
    means, covariances = fit.at(at)
    expected = torch.cat([at, torch.zeros_like(at)], -1)
    torch.testing.assert_close(means, expected, rtol=0, atol=0.05)
    deviations = covariances.diagonal(dim1=1, dim2=2).sqrt()
    expected = torch.cat([torch.ones_like(at), at.exp()], -1)
    torch.testing.assert_close(deviations, expected, rtol=0.05, atol=0)


def test_the_likelihood_is_that_of_the_gaussians_up_to_a_constant() -> None:
    x, c = rows(400)
    fit = GaussianRegression.of_degree(x, c, 2)
    law = torch.distributions.MultivariateNormal(*fit.at(c))
    other, at = x + 0.3, torch.zeros_like(c)
    moved = torch.distributions.MultivariateNormal(*fit.at(at))
    difference = float(law.log_prob(x).mean() - moved.log_prob(other).mean())
    found = fit.likelihood(x, c) - fit.likelihood(other, at)
    assert found == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "degree"),
    [
        (RegressionSettings(max_polynomial_degree=0), 0),
        (RegressionSettings(rows_per_coefficient=1000), 0),
        (RegressionSettings(max_polynomial_degree=1), 1),
    ],
)
def test_settings_bound_the_degree(settings: RegressionSettings, degree: int) -> None:
    assert GaussianRegression.fit(*rows(2000), settings=settings).degree == degree


def test_the_fit_keeps_the_smallest_diagonal_of_its_settings() -> None:
    settings = RegressionSettings(min_cholesky_diagonal=2.0)
    fit = GaussianRegression.of_degree(*rows(200), 0, settings)
    white = torch.linalg.inv(fit.root) @ fit.at(torch.zeros(1, 1).double())[1][0]
    variances = torch.linalg.eigvalsh(white @ torch.linalg.inv(fit.root))
    assert float(variances.max()) <= 0.5  # both below 1/2^2, but for P's other entry
