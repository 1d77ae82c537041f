"""Costs of ott-jax by the names that recipes give them, and its entropic map for a cost.

    power, separable_power, elastic, log_cosh       as `brenier.transport.costs` defines them

The library has the second as `PNormP` and the third as `RegTICost` of `L1`. Its `EuclideanP` has no conjugate, and no
log-cosh is known to it: these two are written here, as its documentation asks for costs of one's own. Beyond the domain
of the conjugate of log-cosh the latter goes on as an affine function, where it would not be a number.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

ROWS = 4096  # of the entropic map
BLOCK = 512  # points moved at once
LAST = 1 - 1e-6  # of the domain of the conjugate of log-cosh


def cost_of(told: dict[str, Any] | None) -> Any:
    """Return the cost that a recipe tells of; None for the squared distance."""
    from ott.geometry import costs, regularizers

    if told is None or told["name"] == "squared_euclidean":
        return None
    if told["name"] == "separable_power":
        return costs.PNormP(told["p"])
    if told["name"] == "elastic":
        return costs.RegTICost(regularizers.L1(), lam=told["sparsity"])
    kinds = {"power": (_power, "p"), "log_cosh": (_log_cosh, "scale")}
    make, parameter = kinds[told["name"]]
    return make()(told[parameter])


def _power() -> Any:
    """Return the class of |z|^p / p."""
    import jax
    from ott.geometry import costs
    from ott.math import utils

    @jax.tree_util.register_pytree_node_class
    class Power(costs.TICost):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

        def h(self, z: Any) -> Any:
            return utils.norm(z) ** self.p / self.p

        def h_legendre(self, z: Any) -> Any:
            q = self.p / (self.p - 1)
            return utils.norm(z) ** q / q

        def tree_flatten(self) -> Any:
            return (), (self.p,)

        @classmethod
        def tree_unflatten(cls, aux_data: Any, children: Any) -> Any:
            return cls(*aux_data)

    return Power


def _log_cosh() -> Any:
    """Return the class of scale^2 * sum of log cosh(z_i / scale)."""
    import jax
    import jax.numpy as jnp
    from ott.geometry import costs

    @jax.tree_util.register_pytree_node_class
    class LogCosh(costs.TICost):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale

        def h(self, z: Any) -> Any:
            return self.scale**2 * jnp.sum(_log_cosh_of(z / self.scale))

        def h_legendre(self, z: Any) -> Any:
            s = z / self.scale
            inside = jax.lax.stop_gradient(jnp.clip(s, -LAST, LAST))
            slope = jnp.arctanh(inside)
            value = inside * slope + jnp.log1p(-(inside**2)) / 2
            # The tangent at the nearest point of the domain: exact in it, with the right gradient.
            return self.scale**2 * jnp.sum(value + slope * (s - inside))

        def tree_flatten(self) -> Any:
            return (), (self.scale,)

        @classmethod
        def tree_unflatten(cls, aux_data: Any, children: Any) -> Any:
            return cls(*aux_data)

    def _log_cosh_of(u: Any) -> Any:
        return jnp.logaddexp(u, -u) - jnp.log(2.0)

    return LogCosh


def entropic(job: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return both images of the points of a job under the entropic map of the first rows, and numbers for the row."""
    import jax
    import jax.numpy as jnp
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    x, z = (jnp.asarray(side[:ROWS]) for side in (job.source, job.target))
    geometry = pointcloud.PointCloud(
        x,
        z,
        cost_fn=cost_of(job.recipe.get("cost")),
        epsilon=job.recipe["epsilon"],
        relative_epsilon="mean",
    )
    problem = linear_problem.LinearProblem(geometry)
    solver = sinkhorn.Sinkhorn(max_iterations=job.recipe["most_steps"])
    created = time.perf_counter()
    solve = jax.jit(solver).lower(problem).compile()
    began = time.perf_counter()
    found = jax.block_until_ready(solve(problem))
    ended = time.perf_counter()
    dual = found.to_dual_potentials()

    def moved(points: Any, forward: bool) -> Any:
        move = jax.jit(lambda part: dual.transport(part, forward=forward))
        count = max(1, len(points) // BLOCK)
        parts = np.array_split(np.asarray(points, np.float32), count)
        return np.concatenate([np.asarray(move(jnp.asarray(part))) for part in parts])

    numbers = {
        "fit_seconds": ended - began,
        "excluded_seconds": began - created,
        "used": len(x),
        "steps": int(found.n_iters),
    }
    return moved(job.x, True), moved(job.z, False), numbers
