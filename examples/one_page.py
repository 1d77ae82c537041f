"""The whole method on one page, in plain PyTorch: optimal transport between two samples with one potential network.

The shortest way, in mean square, to turn one sample into another is T(x) = grad psi(x) for a convex function psi
(Brenier's theorem). With g = psi - |x|^2/2, source points x and target points z, the best g minimises

    J(g) = E g(x) - E env(z),      env(z) = min over y of |y - z|^2/2 + g(y).

Then W2^2 = -2 J, and the y that attains the minimum is T^{-1}(z): one network gives map, inverse and distance.
"""

import os

import torch
from torch import nn

torch.manual_seed(0)
STEPS, BATCH, BLOW = 60 if os.environ.get("BRENIER_EXAMPLE_QUICK") else 600, 512, 1.5


def true_map(x):
    # Blows a Gaussian up into a halo; the gradient of a convex function while BLOW < 2.24.
    return x * (1 + BLOW * torch.exp(-0.5 * x.square().sum(-1, keepdim=True)))


class Potential(nn.Module):
    """psi = c|x|^2/2 + a network of at most linear growth: whatever the weights, |y - z|^2/2 + g(y) has a minimum."""

    def __init__(self, dim=2, width=64):
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(dim, width), nn.Softplus(), nn.Linear(width, width), nn.Softplus()
        )
        self.readout = nn.Parameter(torch.zeros(width))
        self.log_c = nn.Parameter(torch.zeros(()))

    def forward(self, x):  # g(x); a new one is zero, and T the identity
        quadratic = 0.5 * (self.log_c.exp() - 1) * x.square().sum(-1)
        return quadratic + self.network(x) @ self.readout


def gradient(g, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(g(x).sum(), x)[0]


def inverse(g, z, tol=1e-3, max_steps=100):
    """The y of least |y - z|^2/2 + g(y), by gradient steps. Rows are independent: each has its own step and stop."""
    y, size, going = z.clone(), torch.full((len(z), 1), 0.5), torch.arange(len(z))
    residual = gradient(g, y)  # y - z + grad g(y), the gradient of what is minimised
    for _ in range(max_steps):
        # The other rows have converged, and cost nothing more.
        going = going[residual[going].norm(dim=-1) > tol]
        if not len(going):
            break
        dy, old = -size[going] * residual[going], residual[going]
        y[going] += dy
        residual[going] = y[going] - z[going] + gradient(g, y[going])
        dr = residual[going] - old
        # The next step is sized by the curvature seen in this one (Barzilai and Borwein, 1988).
        ratio = (dy * dr).sum(-1).abs() / dr.square().sum(-1)
        size[going] = ratio.nan_to_num(0.5)[:, None].clamp(0.05, 5)
    return y


def objective(g, x, z, tol=1e-3):
    y = inverse(g, z, tol)  # a constant: the derivative in y is zero there
    return g(x).mean() - (0.5 * (y - z).square().sum(-1) + g(y)).mean()


g = Potential()
optimiser = torch.optim.Adam(g.parameters(), lr=1e-2, betas=(0.5, 0.9))
for step in range(STEPS):
    loss = objective(
        g, torch.randn(BATCH, 2), true_map(torch.randn(BATCH, 2)), tol=1e-2
    )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
    if step % (STEPS // 6) == 0:
        print(f"step {step:4d}   J = {loss.item():+.4f}")

x, z = torch.randn(10_000, 2), true_map(torch.randn(10_000, 2))
moved = x + gradient(g, x)  # T(x)
print(
    f"distance: W2 = {max(0.0, -2 * objective(g, x, z).item()) ** 0.5:.3f}, exactly {BLOW * 2**0.5 / 3:.3f}"
)
print(
    f"map: {(moved - true_map(x)).norm(dim=-1).square().mean().sqrt():.3f} from the true one (root mean square)"
)
print(
    f"inverse: T^-1(T(x)) is {(inverse(g, moved) - x).norm(dim=-1).median():.0e} from x (median)"
)
