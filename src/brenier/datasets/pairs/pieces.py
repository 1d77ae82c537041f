"""A smooth convex potential, its map for a cost c(x, z) = h(z - x), and the inverse of that map.

    g(x) = t log sum_k exp((w_k' x + b_k) / t),   T(x) = x + grad h*(grad g(x)),   grad g(x) = W p(x)

with p(x) = softmax((W' x + b) / t). The inverse of z is the least y of h(z - y) + g(y). Its dual has one unknown p on
the simplex, whatever d, and stays where h* is finite:

    y = z - grad h*(W p),   p = softmax(force - W' grad h*(W p) / t),   force = (W' z + b) / t

This is solved for theta, p = softmax(theta), by Newton's method, whose directions ascend the strictly concave dual
objective <p, force> - sum_k p_k log p_k - h*(W p) / t. Where h* has no second derivative a whole step may overshoot.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.transport.costs import Cost


@dataclasses.dataclass(frozen=True)
class InverseSettings:
    """How the inverse of the map of a convex potential is found, in float64.

    Attributes:
        steps: of Newton's method, at most; ten are usual.
        residual: of T(y) - z at which a row is done, in units of the data.
        enough: of T(y) - z up to which a row counts as found: where h* has no second derivative, rounding is felt.
        ascent: least share of the ascent that a step promises.
        descent: of the objective at the end of a step, relative to the ascent at its start, that is too far.
        rounding: of the objective, relative to its terms.
        halvings: of a step, at most.
        rows_at_once: rows solved at once.
    """

    steps: int = 100
    residual: float = 1e-11
    enough: float = 1e-8
    ascent: float = 1e-4
    descent: float = 0.5
    rounding: float = 1e-13
    halvings: int = 40
    rows_at_once: int = 4096


INVERSE_SETTINGS = InverseSettings()


@dataclasses.dataclass(frozen=True)
class ConvexPieces:
    """g of the module's docstring: a soft maximum of affine functions.

    Attributes:
        slopes: W, (d, K), float64.
        offsets: b, (K,), float64.
        temperature: t.
    """

    slopes: Tensor
    offsets: Tensor
    temperature: float

    def scores(self, x: Tensor) -> Tensor:
        """Return (W' x + b) / t: (n, d) -> (n, K)."""
        return (x @ self.slopes.to(x) + self.offsets.to(x)) / self.temperature

    def value(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        return self.temperature * torch.logsumexp(self.scores(x), -1)

    def gradient(self, x: Tensor) -> Tensor:
        """Return grad g(x): (n, d) -> (n, d)."""
        return self.slope_of(self.scores(x))

    def slope_of(self, theta: Tensor) -> Tensor:
        """Return W softmax(theta): (n, K) -> (n, d)."""
        return torch.softmax(theta, -1) @ self.slopes.mT.to(theta)

    def lowest_within(self, radius: float) -> float:
        """Return a lower bound of g on the ball of a radius about zero: by Jensen, of the mean affine function."""
        many = self.temperature * math.log(len(self.offsets))
        mean = torch.linalg.vector_norm(self.slopes.mean(1))
        return float(self.offsets.mean() - radius * mean) + many


@dataclasses.dataclass(frozen=True)
class PotentialMap:
    """T(x) = x + grad h*(grad g(x)), which is optimal for h from any law to its image, since g is convex.

    Attributes:
        pieces: g.
        cost: h.
    """

    pieces: ConvexPieces
    cost: Cost

    def forward(self, x: Tensor) -> Tensor:
        """Return T(x), in the precision of x: (n, d) -> (n, d)."""
        return x + self.cost.conjugate_gradient(self.pieces.gradient(x))

    def backward(self, z: Tensor) -> Tensor:
        """Return T^{-1}(z), solved in float64, in the precision of z: (n, d) -> (n, d).

        Raises:
            DataError: where it is not found.
        """
        parts = z.double().split(INVERSE_SETTINGS.rows_at_once)
        return torch.cat([self._solved(part) for part in parts]).to(z)

    def envelope(self, z: Tensor) -> Tensor:
        """Return the least value of h(z - y) + g(y) over y, in the precision of z: (n, d) -> (n,).

        Raises:
            DataError: where the inverse is not found.
        """
        return self.envelope_at(self.backward(z), z)

    def envelope_at(self, x: Tensor, z: Tensor) -> Tensor:
        """Return that least value at z = T(x), where x is known: (n, d), (n, d) -> (n,)."""
        return self.cost.value(z - x) + self.pieces.value(x)

    def _solved(self, z: Tensor) -> Tensor:
        """Return the inverse of some rows."""
        settings = INVERSE_SETTINGS
        force = self.pieces.scores(z)
        theta = force.clone()
        y, error = self._at(z, force, theta)
        for _ in range(settings.steps):
            open_rows = error > settings.residual
            if not bool(open_rows.any()):
                break
            better = self._step(force[open_rows], theta[open_rows])
            found, left = self._at(z[open_rows], force[open_rows], better)
            theta[open_rows] = better
            # What was nearer is kept: at the limit of precision errors go up and down.
            nearer = left < error[open_rows]
            y[open_rows] = torch.where(nearer[:, None], found, y[open_rows])
            error[open_rows] = torch.where(nearer, left, error[open_rows])
        lost = ~(error <= settings.enough)
        if bool(lost.any()):
            raise DataError(
                f"z: of {int(lost.sum())} rows the inverse was not found to {settings.enough:g}, the worst is "
                f"{float(error.max()):.2g} away; give rows nearer to the target law"
            )
        return y

    def _at(self, z: Tensor, force: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return y = z - grad h*(W p), and |T(y) - z|, from the multipliers theta: (n, d), (n,)."""
        v = self.cost.conjugate_gradient(self.pieces.slope_of(theta))
        again = force - v @ self.pieces.slopes / self.pieces.temperature
        moved = self.cost.conjugate_gradient(self.pieces.slope_of(again))
        return z - v, torch.linalg.vector_norm(moved - v, dim=-1)

    def _step(self, force: Tensor, theta: Tensor) -> Tensor:
        """Return theta after a step of Newton's method, halved until the objective does not fall at its end."""
        slopes, t = self.pieces.slopes, self.pieces.temperature
        p = torch.softmax(theta, -1)
        s = (p @ slopes.mT).requires_grad_()
        with torch.enable_grad():
            along = self.cost.conjugate_gradient(s) @ slopes
            rows = [
                torch.autograd.grad(part.sum(), s, retain_graph=True)[0] @ slopes
                for part in along.unbind(-1)
            ]
        curvature = torch.stack(rows, 1) / t  # (n, K, K)
        gap = force - along.detach() / t - theta
        spread = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        jacobian = torch.eye(p.shape[1]).to(p) + curvature @ spread
        direction = torch.linalg.solve(jacobian, gap)
        return theta + self._size(force, theta, direction)[:, None] * direction

    def _size(self, force: Tensor, theta: Tensor, direction: Tensor) -> Tensor:
        """Return the longest step of 1, 1/2, 1/4 ... that ascends and does not go far beyond the top: (n,)."""
        settings = INVERSE_SETTINGS
        before, ascent = self._dual(force, theta, direction)
        rounding = settings.rounding * (1 + force.abs().amax(-1))
        size = torch.ones_like(ascent)
        for _ in range(settings.halvings):
            after, left = self._dual(
                force, theta + size[:, None] * direction, direction
            )
            low = after < before + settings.ascent * size * ascent - rounding
            beyond = low | (left < -settings.descent * ascent)
            if not bool(beyond.any()):
                break
            size = torch.where(beyond, size / 2, size)
        return size

    def _dual(
        self, force: Tensor, theta: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the objective and its derivative along a direction, all (n, K): (n,), (n,)."""
        slopes, t = self.pieces.slopes, self.pieces.temperature
        log_p = torch.log_softmax(theta, -1)
        p = log_p.exp()
        s = p @ slopes.mT
        v = self.cost.conjugate_gradient(s)
        conjugate = torch.linalg.vecdot(s, v) - self.cost.value(v)
        objective = (p * (force - log_p)).sum(-1) - conjugate / t
        gap = force - v @ slopes / t - theta
        centred = direction - (p * direction).sum(-1, keepdim=True)
        return objective, (p * gap * centred).sum(-1)
