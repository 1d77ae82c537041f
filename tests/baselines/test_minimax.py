"""The maximin methods: their losses, whose turn it is, and what they learn."""

import dataclasses

import pytest
import torch

from brenier.baselines import MM, Baseline, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.minimax import MinimaxTask, PotentialPair
from brenier.baselines.pair_task import PairSides
from brenier.datasets import gaussian_pair
from brenier.metrics import l2_uvp


def task_of(settings: MinimaxSettings, generator: torch.Generator) -> MinimaxTask:
    """A task between a constant source row and a constant target row."""
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    sides = PairSides(
        lambda n, _: x.expand(n, 2),
        lambda n, _: y.expand(n, 2),
        (x, y),
        (1.0, 1.0),
        (x, y),
    )
    return MinimaxTask(
        PotentialPair(2, generator=generator), sides, generator, settings
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_losses_are_the_published_ones(
    reverse: bool, generator: torch.Generator
) -> None:
    settings = MinimaxSettings(inner_steps=2, reversed_roles=reverse)
    task = task_of(settings, generator)
    psi, chi = task.model.ahead, task.model.back
    x, y = task.sides.held_out
    if reverse:
        psi, chi, x, y = chi, psi, y, x
    h = chi.gradient(y)
    inner = psi(h) - (h * y).sum()
    outer = psi(x) - psi(h)
    for expected, trained in ((inner, chi), (inner, chi), (outer, psi), (inner, chi)):
        value = task.loss(3)
        torch.testing.assert_close(value, expected.squeeze())
        task.model.zero_grad()
        value.backward()
        task.taken += 1
        other = psi if trained is chi else chi
        assert all(part.grad is None for part in other.parameters())
        assert trained.linear.grad is not None


def test_convex_potentials_stay_convex(generator: torch.Generator) -> None:
    pair = gaussian_pair(2)
    fitted = MMConvex(max_steps=40, random_state=0).fit(pair.source, pair.target)
    for name in ("last", "average"):
        for part in fitted.maps_[name].model.state_dict().items():
            if "weights" in part[0] or "readout" in part[0]:
                assert float(part[1].min()) >= 0


@pytest.mark.whole_start
@pytest.mark.parametrize("kind", [MM, MMReversed, MMConvex])
def test_a_gaussian_map_is_learnt(kind: type[MM]) -> None:
    pair = gaussian_pair(2)
    settings = dataclasses.replace(kind.presets["fair"], batch_size=128)
    fitted: Baseline = kind(settings, max_steps=800, random_state=0).fit(
        pair.source, pair.target
    )
    x = pair.source(4096, torch.Generator().manual_seed(1)).double()
    z = pair.forward(x)
    assert l2_uvp(fitted.transform(x), z, pair.variance_target) < 1.5
    assert l2_uvp(fitted.inverse_transform(z), x, pair.variance_source) < 1.5
