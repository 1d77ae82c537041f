"""How often the host waits for the device: hardly beside the stop tests of the inner loop."""

from collections import Counter
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from pretended import DEVICE, pretended_device

from brenier import BFGS, OptimalTransport, Run, conjugate
from brenier.potentials import DenseICNN
from brenier.solve import positions

STOP_TESTS = "solve/loop.py"
STEPS = 5  # of training, that are counted
MOST = 6  # waits of a step of training, its stop tests aside


class EnoughError(Exception):
    """What ends a fit whose steps have been counted."""


def waits_per_step(dim: int, **told: Any) -> dict[str, float]:
    """Return how often the host waits in a step of training, by place; steps that evaluate are left out."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 400, dim))
    waits: Counter[str] = Counter()
    counted: list[int] = []
    advance = Run.advance

    def watched(run: Run[Any]) -> None:
        before, rows = traffic.reads + traffic.uploads, len(run.history)
        advance(run)
        if len(run.history) == rows:
            counted.append(run.step)
            waits.update(traffic.reads + traffic.uploads - before)
        if len(counted) == STEPS:
            raise EnoughError

    ot = OptimalTransport(
        "free",
        n_networks=1,
        max_steps=20,
        batch_size=64,
        random_state=0,
        device=DEVICE,
        settings={"evaluate_every": 4},
    )
    z = z + 2 * np.tanh(3 * z)
    with (
        pretended_device() as traffic,
        mock.patch.object(Run, "advance", watched),
        pytest.raises(EnoughError),
    ):
        ot.fit(x, z, **told)
    return {place: n / STEPS for place, n in waits.items()}


SIDES: dict[str, dict[str, Any]] = {
    "plain": {},
    "of many features": {"dim": 16},
    "by class": {
        "source_labels": np.arange(400) % 2,
        "target_labels": np.arange(400) % 2,
    },
    "by covariate": {"target_covariates": np.linspace(0, 1, 400)},
    "weighted": {"source_weight": np.linspace(1, 2, 400)},
}


@pytest.mark.parametrize("name", SIDES)
def test_steps_of_training_hardly_wait(name: str) -> None:
    """Beside its stop tests a step asks the device a handful of questions, and waits for no copy."""
    told = dict(SIDES[name])
    found = waits_per_step(told.pop("dim", 2), **told)
    beside = {p: n for p, n in found.items() if not p.startswith(STOP_TESTS)}
    assert any(p.startswith(STOP_TESTS) for p in found), "no stop test was seen"
    assert sum(beside.values()) <= MOST, beside


@pytest.mark.parametrize("check_every", [1, 4])
def test_the_inner_loop_waits_in_its_stop_tests_alone(check_every: int) -> None:
    """Solving inner problems asks the device once per stop test, and nothing between them."""
    generator = torch.Generator().manual_seed(0)
    potential = DenseICNN(3, generator=generator)
    with torch.no_grad():
        for weight in potential.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    z = torch.randn(50, 3, generator=generator)
    with pretended_device() as traffic:
        potential.to(DEVICE)
        there = z.to(DEVICE)
        traffic.clear()
        found = conjugate(
            potential, there, method=BFGS(), check_every=check_every, tol=1e-3
        )
        steps = int(found.solution.steps.max())
        loop = {p: n for p, n in traffic.reads.items() if p.startswith(STOP_TESTS)}
    tests = -(-steps // check_every) + 1
    assert steps > check_every, "the problems are too easy to tell"
    assert sum(loop.values()) == tests
    assert not [p for p in traffic.uploads if p.startswith(STOP_TESTS)]


def test_positions_are_those_of_nonzero() -> None:
    """Where a mask is true is found alike on both devices, without a question where that is the GPU."""
    mask = torch.rand(100, generator=torch.Generator().manual_seed(0)) < 0.3
    right, count = mask.nonzero().squeeze(-1), int(mask.sum())
    assert torch.equal(positions(mask, count), right)
    with pretended_device() as traffic:
        there = mask.to(DEVICE)
        traffic.clear()
        found = positions(there, count)
        assert not traffic.waits()
        assert torch.equal(found.cpu(), right)
        assert positions(there[:0], 0).shape == (0,)
