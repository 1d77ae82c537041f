"""The dual objective as a task, where each member of an ensemble has samples of its own."""

from functools import partial

import pytest
import torch
from problems import make, normal
from torch import Tensor

from brenier import (
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    MeanPotential,
    MemberSamples,
    Potential,
)
from brenier.transport.dual import held_out_value

NETWORK = partial(make, DenseICNN, 2, 0.1, hidden=(8, 4), convex=True)
EXACT = DualObjective(tol=1e-10)


def samples(
    seed: int, n: int = 30, m: int = 20, starts: int | None = 15
) -> MemberSamples:
    """Samples of one member, each from its own normal law."""
    x, z = normal(n, 2, seed=seed), 1 + 2 * normal(m, 2, seed=seed + 50)

    def draw(side: Tensor, k: int, generator: torch.Generator) -> Tensor:
        return side[:k]

    own = None if starts is None else normal(starts, 2, seed=seed + 90)
    return MemberSamples(
        partial(draw, 10 + x), partial(draw, 10 + z), (x, z), starts=own
    )


def networks(count: int = 3) -> list[Potential]:
    return [NETWORK(seed=seed) for seed in range(count)]


def test_every_row_is_judged_by_the_member_that_left_it_out() -> None:
    own = [samples(k, n=30 + k, m=20 - k) for k in range(3)]
    value = held_out_value(EXACT, networks(), own)
    parts = [
        EXACT(network, *each.held_out)
        for network, each in zip(networks(), own, strict=True)
    ]
    torch.testing.assert_close(value.source, torch.cat([part.source for part in parts]))
    torch.testing.assert_close(value.target, torch.cat([part.target for part in parts]))
    expected = value.source.mean() - value.target.mean()
    torch.testing.assert_close(value.loss, expected)
    assert len(value.solution.status) == 20 + 19 + 18


def test_starts_help_to_solve_and_are_not_judged() -> None:
    with_starts, without = samples(0), samples(0, starts=None)
    network = networks()[0]
    first = with_starts.evaluate(EXACT, network, None)
    second = without.evaluate(EXACT, network, None)
    assert len(first.source) == 30
    torch.testing.assert_close(first.loss, second.loss)
    torch.testing.assert_close(first.source, second.source)


def test_no_more_starts_are_looked_at_than_there_may_be() -> None:
    seen = list[int]()

    class Counted(DualObjective):
        def __call__(self, potential, x, z, **told):  # type: ignore[no-untyped-def]
            seen.append(len(x))
            return super().__call__(potential, x, z, **told)

    for n, starts in ((30, 15), (30, 5000), (1500, 5000)):
        samples(0, n, starts=starts).evaluate(Counted(), networks()[0], None)
    assert seen == [45, EXACT.starts.max_candidates, 1500]


def test_rows_without_an_answer_do_not_count() -> None:
    class Broken(Potential):
        dim = 2

        def forward(self, x: Tensor) -> Tensor:
            far = (x > 4).any(-1)
            return torch.where(far, torch.nan, 0.0) * x.square().sum(-1)

    own = samples(0, starts=None)
    own.held_out[1][0] = 100.0
    value = held_out_value(EXACT, [Broken()], [own])
    usable = torch.isfinite(value.solution.residual)
    assert not usable[0]
    expected = value.source.mean() - value.target[usable].mean()
    torch.testing.assert_close(value.loss, expected)
    assert torch.isfinite(value.loss)


def task(own: list[MemberSamples]) -> DualTask:
    generator = torch.Generator().manual_seed(0)
    mean = MeanPotential(networks(len(own)))
    return DualTask(mean, EXACT, own, DualSettings(), generator)


def test_a_task_evaluates_members_on_their_own_rows() -> None:
    own = [samples(k) for k in range(3)]
    found = task(own).evaluate(task(own).model)
    expected = held_out_value(EXACT, networks(), own)
    assert found.value == pytest.approx(expected.loss.item(), abs=1e-4)
    assert len(found.terms[0]) == 90
    assert len(task(own).held_out[0]) == 90


def test_members_are_trained_on_their_own_rows() -> None:
    own = [samples(k) for k in range(2)]
    (first, second) = list(task(own)._draw(5, 0.0))
    for batch, each in zip((first, second), own, strict=True):
        assert torch.equal(batch.x, each.source(5, torch.Generator()))
        assert torch.equal(batch.z, each.target(5, torch.Generator()))


def test_there_are_as_many_samples_as_members() -> None:
    generator = torch.Generator()
    own = [samples(k) for k in range(3)]
    mean = MeanPotential(networks(2))
    bad = DualTask(mean, EXACT, own, DualSettings(), generator)
    with pytest.raises(ValueError, match="argument"):
        bad.evaluate(mean)
