"""The worker of ott-jax: `ExpectileNeuralDual` and `W2NeuralDual`, with the settings of their papers and tutorials.

    expectile   two networks of ELU layers, 4 x 128 (the library's) or 3 x 512 (the paper's from d = 64 on), with
                expectile and weight .99 and 1, or .9 and .3; Adam (.9, .99)
    w2          two networks [2 w, 2 w, w], w = max(d, 32), of ELU layers with a quadratic; Adam (.5, .5); regression;
                the conjugate by L-BFGS to a gradient of .1 and in 10 steps at most while training, where the paper's
                100 steps leave time for a quarter of the updates, and to 1e-4 for the answer

    entropic    the entropic map of 4,096 rows, epsilon a tenth, a hundredth or 1/400 of the mean cost

A recipe may name another cost than the squared distance (`ott_costs.py`), for the expectile dual and the entropic map.
Batches of 1,024 from the pool; the rate falls along a cosine over the time, to a ten-thousandth. The clock starts after
the first two steps, which compile; it is the wall's, or the processor's where the recipe says so. "Expectile
Regularization for Fast and Accurate Training of Neural Optimal Transport", Buzun et al., 2024; "On amortizing convex
conjugates for optimal transport", Amos, 2023.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.peers import ott_costs
from benchmarks.peers.worker import Answer, Job, work

BATCH = 1024
COMPILING = 2  # steps that compile, one for each direction
LAST = 1e-4  # of the rate
BETAS = {"expectile": (0.9, 0.99), "w2": (0.5, 0.5)}


class _TimeIsUpError(Exception):
    pass


class Timer:
    """A callback that sets the rate by the time passed, and ends the training."""

    def __init__(
        self,
        solver: Any,
        rate: float,
        seconds: float,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.solver, self.rate, self.seconds, self.now = solver, rate, seconds, now
        self.created, self.began, self.steps, self.passed = now(), math.nan, 0, 0.0

    def __call__(self, step: int, _: Any) -> None:
        import jax

        states = (self.solver.state_f, self.solver.state_g)
        jax.block_until_ready([state.params for state in states])
        self.steps = step + 1
        if self.steps <= COMPILING:
            self.began = self.now()
        self.passed = self.now() - self.began
        if self.passed >= self.seconds:
            raise _TimeIsUpError
        cosine = (1 + math.cos(math.pi * self.passed / self.seconds)) / 2
        for state in states:
            state.opt_state.hyperparams["learning_rate"] = jax.numpy.asarray(
                self.rate * (LAST + (1 - LAST) * cosine)
            )


def make(recipe: dict[str, Any], dim: int, seed: int) -> Any:
    """Return the untrained solver of a recipe."""
    import jax
    import optax
    from ott.neural.methods import expectile_neural_dual, neuraldual
    from ott.neural.networks import potentials

    b1, b2 = BETAS[recipe["kind"]]
    optimizers = [
        optax.inject_hyperparams(optax.adam)(recipe["rate"], b1=b1, b2=b2) for _ in "fg"
    ]
    endless = {
        "num_train_iters": 10**9,
        "valid_freq": 10**9,
        "log_freq": 10**9,
        "rng": jax.random.PRNGKey(seed),
    }
    if recipe["kind"] == "expectile":
        networks = [
            potentials.MLP(dim_hidden=[*recipe["widths"], 1], act_fn=jax.nn.elu)
            for _ in "fg"
        ]
        regularisation = {
            "expectile": recipe["expectile"],
            "expectile_loss_coef": recipe["weight"],
        }
        cost = ott_costs.cost_of(recipe.get("cost"))
        return expectile_neural_dual.ExpectileNeuralDual(
            dim, *networks, *optimizers, cost_fn=cost, **regularisation, **endless
        )
    width = max(dim, 32)
    networks = [
        potentials.PotentialMLP(
            dim_hidden=[2 * width, 2 * width, width], act_fn=jax.nn.elu
        )
        for _ in "fg"
    ]
    conjugate = _conjugate(0.1, 10)
    return neuraldual.W2NeuralDual(
        dim,
        *networks,
        *optimizers,
        conjugate_solver=conjugate,
        back_and_forth=False,
        **endless,
    )


def images(kind: str, solver: Any, x: Any, z: Any) -> tuple[Any, Any]:
    """Return both maps of points x and z."""
    import jax

    if kind == "expectile":
        found = solver.to_dual_potentials()
        return found.transport(x), found.transport(z, forward=False)
    # The gradient of the first potential, and its conjugate's from where the second one points.
    f, g = solver.state_f, solver.state_g
    value = f.potential_value_fn(f.params)
    exact = _conjugate(1e-4, 100)
    starts = g.potential_gradient_fn(g.params)(z)
    back = jax.jit(
        jax.vmap(lambda point, start: exact.solve(value, point, x_init=start).grad)
    )(z, starts)
    return f.potential_gradient_fn(f.params)(x), back


def run(job: Job) -> Answer:
    import jax.numpy as jnp
    import ott

    library = f"ott-jax {ott.__version__}"
    if job.recipe["kind"] == "entropic":
        forward, backward, numbers = ott_costs.entropic(job)
        return Answer(forward, backward, numbers | {"library": library})
    solver = make(job.recipe, job.source.shape[1], job.seed)
    processor = job.recipe.get("processor_time", False)
    now = time.process_time if processor else time.perf_counter
    timer = Timer(solver, job.recipe["rate"], job.seconds, now)
    loaders = [
        _batches(pool, job.seed + k)
        for k, pool in enumerate((job.source, job.target) * 2)
    ]
    with contextlib.suppress(_TimeIsUpError):
        solver(*loaders, callback=timer)
    numbers = {
        "library": library,
        "fit_seconds": timer.passed,
        "excluded_seconds": timer.began - timer.created,
        "steps": timer.steps,
    }
    forward, backward = images(
        job.recipe["kind"], solver, jnp.asarray(job.x), jnp.asarray(job.z)
    )
    return Answer(forward, backward, numbers)


def _conjugate(residual: float, max_steps: int) -> Any:
    from ott.neural.networks.layers import conjugate

    return conjugate.FenchelConjugateLBFGS(gtol=residual, max_iter=max_steps)


def _batches(pool: Any, seed: int) -> Iterator[Any]:
    import numpy as np

    generator = np.random.default_rng(seed)
    while True:
        yield pool[generator.integers(len(pool), size=BATCH)]


if __name__ == "__main__":
    work(run)
