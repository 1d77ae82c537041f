"""The Hamiltonian as a function of the control: one problem of `brenier.solve` per time, state and costate.

    H(u) = L(t, z, u) + p . f(t, z, u)

The costate p is computed once for every (t, z). Where grad_u H = 0 has no solution in closed form, the Hamiltonian is
*implicit* and `brenier.solve` finds its minimiser; where it has one, `exact` gives it.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve import Iterate

if TYPE_CHECKING:
    from brenier.control.problem import Bounds, ControlProblem


class Hamiltonian(abc.ABC):
    """H(t, z, p, .) for n times, states and costates; controls are (n, m).

    `value` may leave out what does not depend on u. `gradient` has a graph to p, z and u where these have one and
    autograd is on; all else is without a graph.
    """

    bounds: Bounds | None = None

    @abc.abstractmethod
    def value(self, u: Tensor) -> Tensor:
        """Return H, up to a constant of each row: (n,)."""

    @abc.abstractmethod
    def gradient(self, u: Tensor) -> Tensor:
        """Return grad_u H, differentiable: (n, m)."""

    @abc.abstractmethod
    def hessian(self, u: Tensor) -> Tensor:
        """Return the second derivatives of H in u: (n, m, m)."""

    @abc.abstractmethod
    def rows(self, index: Tensor) -> Hamiltonian:
        """Return the Hamiltonians of the rows in index."""

    @abc.abstractmethod
    def detached(self) -> Hamiltonian:
        """Return the same without a graph."""

    @property
    @abc.abstractmethod
    def scale(self) -> Tensor:
        """What grad_u H is compared with, 1 + |f_u' p|: (n,). It is asked for at every step: cache it."""

    def exact(self) -> Tensor | None:
        """Return the minimisers within the bounds in closed form (n, m), or None where there is no such form."""
        return None

    def hessian_product(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the Hessian times v: (n, m)."""
        return torch.einsum("nij,nj->ni", self.hessian(u), v)

    def diagonal(self, u: Tensor) -> Tensor:
        """Return the diagonal of the Hessian: (n, m)."""
        return self.hessian(u).diagonal(dim1=-2, dim2=-1)

    def curvature(self, u: Tensor) -> Tensor:
        """Return the largest absolute eigenvalue of the Hessian, or a bound on it: (n,)."""
        return self.hessian(u).abs().sum(-1).amax(-1)

    @torch.no_grad()
    def evaluate(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return value and gradient without a graph: (n,), (n, m)."""
        return self.value(u), self.gradient(u)

    def residual(self, u: Tensor, gradient: Tensor) -> Tensor:
        """Return how far controls are from minimising: |u - clip(u - grad_u H)| over the scale of its terms: (n,).

        Without bounds that is |grad_u H| over its scale.
        """
        step = gradient
        if self.bounds is not None:
            step = u - self.bounds.clip(u - gradient)
        return torch.linalg.vector_norm(step, dim=-1) / self.scale

    def errors(self, at: Iterate) -> Tensor:
        """Return the residual of an evaluated iterate, which `brenier.solve.minimise` compares with tol: (n,)."""
        return self.residual(at.y, at.residual)


class DiagonalHamiltonian(Hamiltonian):
    """A sum over controls: a subclass writes `diagonal`, and no matrix is formed but in `hessian`."""

    @abc.abstractmethod
    def diagonal(self, u: Tensor) -> Tensor:
        """Return the second derivatives, one for each control: (n, m)."""

    def hessian(self, u: Tensor) -> Tensor:
        """Return the Hessian, which is diagonal: (n, m, m)."""
        return torch.diag_embed(self.diagonal(u))

    def hessian_product(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the Hessian times v: (n, m)."""
        return self.diagonal(u) * v

    def curvature(self, u: Tensor) -> Tensor:
        """Return the largest absolute second derivative: (n,)."""
        return self.diagonal(u).abs().amax(-1)


@dataclasses.dataclass(frozen=True)
class AutodiffHamiltonian(Hamiltonian):
    """The Hamiltonian of any problem, by automatic differentiation.

    Attributes:
        problem: L, f and the bounds.
        t: times (n,).
        z: states (n, d).
        p: costates (n, d).
    """

    problem: ControlProblem
    t: Tensor
    z: Tensor
    p: Tensor

    @functools.cached_property
    def bounds(self) -> Bounds | None:  # type: ignore[override]
        """The bounds of the problem at these times and states, asked for at every step of a search."""
        return self.problem.bounds(self.t, self.z.detach())

    def value(self, u: Tensor) -> Tensor:
        """Return H: (n,)."""
        pulled = vecdot(self.p, self.problem.dynamics(self.t, self.z, u))
        return self.problem.running_cost(self.t, self.z, u) + pulled

    def gradient(self, u: Tensor) -> Tensor:
        """Return grad_u H: (n, m)."""
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            at = u if u.requires_grad else u.detach().requires_grad_()
            value = self.value(at).sum()
            found = torch.autograd.grad(value, at, create_graph=keep)[0]
        return found if keep else found.detach()

    def hessian(self, u: Tensor) -> Tensor:
        """Return the Hessian, one Hessian product for each control: (n, m, m)."""
        columns = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        parts = [self.hessian_product(u, v.expand_as(u)) for v in columns]
        return torch.stack(parts, -1)

    def hessian_product(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the Hessian times v: (n, m)."""
        with torch.enable_grad():
            at = u.detach().requires_grad_()
            gradient = self.detached().gradient(at)
            if not gradient.requires_grad:
                return torch.zeros_like(v)
            found = torch.autograd.grad(gradient, at, v, allow_unused=True)[0]
        return torch.zeros_like(v) if found is None else found.detach()

    def rows(self, index: Tensor) -> AutodiffHamiltonian:
        """Return the Hamiltonians of the rows in index."""
        return AutodiffHamiltonian(
            self.problem, self.t[index], self.z[index], self.p[index]
        )

    def detached(self) -> AutodiffHamiltonian:
        """Return the same without a graph."""
        return AutodiffHamiltonian(
            self.problem, self.t, self.z.detach(), self.p.detach()
        )

    @functools.cached_property
    def scale(self) -> Tensor:  # type: ignore[override]
        """1 + |f_u' p| at the control that a search starts from: (n,)."""
        t, z, p = self.t, self.z.detach(), self.p.detach()
        with torch.enable_grad():
            u = self.problem.first_control(t, z).detach().requires_grad_()
            pulled = vecdot(p, self.problem.dynamics(t, z, u)).sum()
            if not pulled.requires_grad:
                return torch.ones_like(t)
            slope = torch.autograd.grad(pulled, u)[0]
        return 1 + torch.linalg.vector_norm(slope, dim=-1)
