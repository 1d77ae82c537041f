"""How a solve is differentiated: four rules for attaching a gradient to a point that was found without a graph.

The point y*(theta) solves R(y; theta) = 0, so dy*/dtheta = -(dR/dy)^{-1} dR/dtheta. Each rule takes a function
`residual`: y (n, d) -> R(y; theta) (n, d) that carries a graph to theta, and the solved point, and returns the same
point (to the solver's tolerance) with a gradient attached:

* `detached`: none. By the envelope theorem that is exact for the value F(y*) itself, all that transport needs
  ("Fixed-Point Neural Optimal Transport...", Park et al., 2026, Lemma 3.2).
* `one_step`: (dR/dy)^{-1} is replaced by the size of a step: a number times I ("JFB: Jacobian-Free Backpropagation for
  Implicit Networks", Fung et al., 2022), a diagonal or a matrix for each row. One extra evaluation; a descent direction
  while I - size dR/dy contracts; exact where the size is the inverse Hessian.
* `implicit`: the exact rule, by conjugate gradients on the adjoint system ("Deep Equilibrium Models", Bai et al.).
* `unrolled`: differentiates `steps` gradient steps; tends to `implicit` as steps grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.linalg import vecdot

Residual = Callable[[Tensor], Tensor]
Rule = Callable[[Residual, Tensor], Tensor]


def detached(residual: Residual, point: Tensor) -> Tensor:
    """Return the point without gradient (the envelope rule)."""
    return point.detach()


def one_step(residual: Residual, point: Tensor, size: float | Tensor = 1.0) -> Tensor:
    """Return the point after one differentiable step of this size from it.

    Args:
        residual: R.
        point: (n, d).
        size: a number, or a tensor that multiplies R element by element, (n, 1) or (n, d), or a matrix for each row,
            (n, d, d). With (dR/dy)^{-1} at the point as size, without a graph, the gradient is the exact one.
    """
    point = point.detach()
    at = residual(point)
    if isinstance(size, Tensor) and size.ndim == 3:
        return point - torch.bmm(size, at.unsqueeze(-1)).squeeze(-1)
    return point - size * at


def unrolled(
    residual: Residual, point: Tensor, steps: int = 20, size: float = 0.5
) -> Tensor:
    """Return the point after `steps` differentiable steps of length size from it."""
    y = point.detach()
    for _ in range(steps):
        y = y - size * residual(y)
    return y


def implicit(
    residual: Residual, point: Tensor, tol: float = 1e-6, max_steps: int = 200
) -> Tensor:
    """Return the point with the exact gradient of the implicit function theorem.

    dR/dy must be symmetric positive definite, as the Hessian of a strongly convex objective is. Rows whose adjoint
    system has not reached the relative tolerance tol after max_steps keep their best estimate. The gradient itself
    cannot be differentiated: torch says so where that is tried.
    """
    y = point.detach().requires_grad_()
    with torch.enable_grad():
        at = residual(y)
    return _Implicit.apply(y.detach(), at, y, tol, max_steps)


class _ImplicitContext(Protocol):
    """What `_Implicit` keeps for its backward pass."""

    residual: Tensor  # (n, d), R at y
    y: Tensor  # (n, d)
    tol: float
    max_steps: int


class _Implicit(torch.autograd.Function):
    """Passes the point through; backward sends -(dR/dy)^{-1} v into the residual."""

    @staticmethod
    def forward(
        ctx: _ImplicitContext,
        point: Tensor,
        at: Tensor,
        y: Tensor,
        tol: float,
        max_steps: int,
    ) -> Tensor:
        ctx.residual, ctx.y = at, y
        ctx.tol, ctx.max_steps = tol, max_steps
        return point.clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: _ImplicitContext, *grads: Tensor
    ) -> tuple[None, Tensor, None, None, None]:
        def product(v: Tensor) -> Tensor:
            # dR/dy is symmetric, so that a vector-Jacobian product is a Jacobian-vector product.
            return torch.autograd.grad(ctx.residual, ctx.y, v, retain_graph=True)[0]

        adjoint = conjugate_gradients(product, grads[0], ctx.tol, ctx.max_steps)
        return None, -adjoint, None, None, None


def conjugate_gradients(
    product: Residual, right: Tensor, tol: float, max_steps: int
) -> Tensor:
    """Solve A v = right row by row: (n, d).

    Args:
        product: v -> A v, with A symmetric positive definite in every row.
        right: (n, d).
        tol: bound on |A v - right| / |right|, at which a row stops.
        max_steps: steps after which rows are left as they are.
    """
    v, r = torch.zeros_like(right), right
    p = r
    limit = tol * torch.linalg.vector_norm(right, dim=-1)
    for _ in range(max_steps):
        going = torch.linalg.vector_norm(r, dim=-1) > limit
        if not bool(going.any()):
            break
        ap, energy = product(p), vecdot(r, r)
        # Rows that have stopped take steps of zero, for 0 / 0 would give them NaN.
        step = torch.where(going, energy / vecdot(p, ap), 0.0).unsqueeze(-1)
        v, r = v + step * p, r - step * ap
        turn = torch.where(going, vecdot(r, r) / energy, 0.0).unsqueeze(-1)
        p = r + turn * p
    return v
