"""Maps from discrete optimal transport with POT, extended to points that were not in the samples.

    exact_plan      the optimal coupling of the samples. T(x) = x - x_i + (barycentre of what x_i is coupled with), x_i
                    the nearest sample; backward likewise, from the same coupling
    entropic_map    T(x) = sum_j w_j(x) z_j,   w(x) = softmax_j (g_j - |x - z_j|^2) / epsilon,   g from Sinkhorn;
                    backward with the other potential ("Entropic estimation of optimal transport maps", Pooladian and
                    Niles-Weed, 2021)
    linear_map      the optimal map between the Gaussian fits, as POT computes it
    kernel_map      a coupling and a map from a kernel space at once ("Mapping estimation for discrete optimal
                    transport", Perrot et al., 2016); backward by a second fit, of the samples swapped

The epsilon of the entropic map is chosen without the truth, for each direction. On samples held out (a fifth, 2,048 at
most) every potential f of a grid is judged by the semi-dual value of their own discrete problem,

    S(f) = mean_k f(x_k) + mean_l min_k (|x_k - z_l|^2 - f(x_k)),
    f(x) = -epsilon log mean_j exp((g_j - |x - z_j|^2) / epsilon),

which is largest for the potentials that are optimal there. The grid descends, each Sinkhorn run starts from the last,
and it ends where two values in a row were no improvement in either direction, or when time is up. The potentials kept
are then brought to convergence on all samples: marginals right to a hundredth, or 200 steps.

This module needs numpy and POT alone, so that it also runs where POT has an environment of its own.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Map = Callable[[Array], Array]

# Relative to the mean squared distance.
EPSILONS = (0.2, 0.1, 0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002, 0.001)
# Between two looks at the marginals 50 steps pass; scalings go into the potentials, which is slow, only when huge.
SINKHORN = {"numItermax": 200, "print_period": 50, "tau": 1e50}
BLOCK = 2**22  # entries of a block of distances


@dataclasses.dataclass(frozen=True)
class Maps:
    """A map in both directions.

    Attributes:
        forward, backward: (n, d) -> (n, d).
        facts: what is worth telling about them.
    """

    forward: Map
    backward: Map
    facts: dict[str, Any]


def exact_plan(x: Array, z: Array) -> Maps:
    """Return the maps of the optimal coupling of samples (n, d) and (m, d)."""
    import ot

    plan = ot.emd([], [], ot.dist(x, z), numItermax=10**8)
    forward = plan @ z / plan.sum(1, keepdims=True)
    backward = plan.T @ x / plan.sum(0)[:, None]
    return Maps(shifted(x, forward), shifted(z, backward), {})


def entropic_map(x: Array, z: Array, seconds: float, seed: int) -> Maps:
    """Return the entropic maps of samples (n, d) and (m, d), the grid of epsilon ended when time is up."""
    deadline = time.perf_counter() + seconds
    (some_x, fresh_x), (some_z, fresh_z) = (
        _hold_out(side, seed + k) for k, side in enumerate((x, z))
    )
    distances, fresh = (
        squared_distances(some_x, some_z),
        squared_distances(fresh_x, fresh_z),
    )
    unit, tried = float(distances.mean()), 0
    forward, backward = _Best(), _Best()
    potentials: tuple[Array, Array] | None = None
    for epsilon in (factor * unit for factor in EPSILONS):
        f, g = potentials = _sinkhorn(distances, epsilon, potentials)
        forward.offer(
            _semi_dual(fresh, _extend(fresh_x, some_z, g, epsilon)[0]), epsilon, g
        )
        backward.offer(
            _semi_dual(fresh.T, _extend(fresh_z, some_x, f, epsilon)[0]), epsilon, f
        )
        tried += 1
        if min(forward.missed, backward.missed) == 2 or time.perf_counter() > deadline:
            break
    distances = squared_distances(x, z)
    g = _refit(distances, x, some_z, forward)[1]
    f = _refit(distances.T, z, some_x, backward)[1]
    facts = {
        "epsilon": forward.epsilon / unit,
        "backward_epsilon": backward.epsilon / unit,
        "epsilons_tried": tried,
    }
    return Maps(
        lambda a: _extend(a, z, g, forward.epsilon)[1],
        lambda a: _extend(a, x, f, backward.epsilon)[1],
        facts,
    )


def linear_map(x: Array, z: Array) -> Maps:
    """Return the affine maps between the Gaussian fits of samples (n, d) and (m, d)."""
    import ot

    fitted = ot.da.LinearTransport().fit(Xs=x, Xt=z)
    return Maps(
        lambda a: fitted.transform(Xs=a), lambda a: fitted.inverse_transform(Xt=a), {}
    )


def kernel_map(x: Array, z: Array) -> Maps:
    """Return the kernel maps of samples (n, d) and (n, d), a Gaussian kernel of the median distance's width."""
    import ot

    def fit(source: Array, target: Array) -> Map:
        width = float(np.sqrt(np.median(squared_distances(source, source))))
        fitted = ot.da.MappingTransport(kernel="gaussian", sigma=width, bias=True).fit(
            Xs=source, Xt=target
        )
        return lambda a: np.asarray(fitted.transform(Xs=a))

    return Maps(fit(x, z), fit(z, x), {})


def squared_distances(a: Array, b: Array) -> Array:
    """Return |a_i - b_j|^2: (n, d), (m, d) -> (n, m)."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.maximum(squares, 0, out=squares)


def shifted(points: Array, images: Array) -> Map:
    """Return x -> x - x_i + image of x_i, x_i the nearest of the points."""

    def moved(a: Array) -> Array:
        nearest = np.concatenate(
            [
                squared_distances(part, points).argmin(1)
                for part in _blocks(a, len(points))
            ]
        )
        return a + (images - points)[nearest]

    return moved


def _extend(
    a: Array, points: Array, potential: Array, epsilon: float
) -> tuple[Array, Array]:
    """Return the other potential (n,) and the mean image (n, d) at any points a, by one half step of Sinkhorn."""
    values, images = [], []
    for part in _blocks(a, len(points)):
        scores = (potential - squared_distances(part, points)) / epsilon
        top = scores.max(1, keepdims=True)
        weights = np.exp(scores - top)
        total = weights.sum(1, keepdims=True)
        values.append(-epsilon * (top + np.log(total / len(points)))[:, 0])
        images.append(weights @ points / total)
    return np.concatenate(values), np.concatenate(images)


@dataclasses.dataclass
class _Best:
    """The best potential so far, and how many offers in a row were no better."""

    value: float = -np.inf
    epsilon: float = np.nan
    potential: Array = dataclasses.field(default_factory=lambda: np.empty(0))
    missed: int = 0

    def offer(self, value: float, epsilon: float, potential: Array) -> None:
        if value > self.value:
            self.value, self.epsilon, self.potential, self.missed = (
                value,
                epsilon,
                potential,
                0,
            )
        else:
            self.missed += 1


def _refit(
    distances: Array, x: Array, some_z: Array, best: _Best
) -> tuple[Array, Array]:
    """Return both potentials of all samples, from the one kept of some."""
    f = _extend(x, some_z, best.potential, best.epsilon)[0]
    # The second potential by a half step from the first, on the distances there are.
    scores = (f[:, None] - distances) / best.epsilon
    top = scores.max(0)
    g = -best.epsilon * (top + np.log(np.exp(scores - top).mean(0)))
    return _sinkhorn(distances, best.epsilon, (f, g))


def _semi_dual(distances: Array, f: Array) -> float:
    return float(f.mean() + (distances - f[:, None]).min(0).mean())


def _sinkhorn(
    distances: Array, epsilon: float, warm: tuple[Array, Array] | None
) -> tuple[Array, Array]:
    """Return potentials f, g with plan_ij = exp((f_i + g_j - distance_ij) / epsilon) / (n m)."""
    import ot

    n, m = distances.shape
    if warm is None:  # no row or column of the kernel underflows as a whole
        nearest = distances.min(1)
        warm = nearest, (distances - nearest[:, None]).min(0)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a potential that is not quite converged is judged like any other
        _, log = ot.bregman.sinkhorn_stabilized(
            [],
            [],
            distances,
            epsilon,
            warmstart=warm,
            stopThr=1e-2 / np.sqrt(m),
            log=True,
            **SINKHORN,
        )
    f, g = (
        log["alpha"] + epsilon * np.log(n),
        log["beta"] + epsilon * np.log(m),
    )  # POT's hold the weights 1/n, 1/m
    if not (np.isfinite(f).all() and np.isfinite(g).all()):
        raise FloatingPointError(
            f"Sinkhorn left the range of numbers at epsilon {epsilon}"
        )
    return f, g


def _hold_out(samples: Array, seed: int) -> tuple[Array, Array]:
    held = min(2048, max(1, len(samples) // 5))
    order = np.random.default_rng(seed).permutation(len(samples))
    return samples[order[held:]], samples[order[:held]]


def _blocks(a: Array, columns: int) -> list[Array]:
    rows = max(1, BLOCK // columns)
    return [a[start : start + rows] for start in range(0, len(a), rows)]
