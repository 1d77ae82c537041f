"""The mean of potentials: J is convex in g, and training takes its networks one by one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contracts import POTENTIAL_LAWS
from fits import PAIR, X, Y, curved, quick, same, uvp, weights
from problems import CONVEX_POTENTIALS, mean, normal
from torch import Tensor

from brenier import (
    Conditional,
    DataError,
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    MeanPotential,
    MemberSamples,
    ModelFileError,
    Potential,
    Quadratic,
    Run,
    Settings,
    TransportMap,
    load,
)
from brenier.training import checkpoint


@pytest.mark.parametrize("convex", [False, True])
@pytest.mark.parametrize(
    "law", [law for law in POTENTIAL_LAWS if "config" not in law.__code__.co_names]
)
def test_a_mean_obeys(law: Callable[[Potential, Tensor], None], convex: bool) -> None:
    """All laws but those of potentials that are rebuilt from their arguments alone: a mean's are networks."""
    law(mean(dim=3, convex=convex), normal(7, 3, seed=9))


def test_its_map_is_the_mean_of_the_maps() -> None:
    potential, x = mean(dim=3), normal(20, 3)
    maps = [TransportMap(part)(x) for part in potential.members()]
    torch.testing.assert_close(
        TransportMap(potential)(x), sum(maps) / 2, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("new", CONVEX_POTENTIALS.values(), ids=CONVEX_POTENTIALS)
def test_j_of_a_mean_is_at_most_the_mean_of_j(new: Callable[..., Potential]) -> None:
    networks = [new(dim=3, seed=seed) for seed in range(3)]
    x, z, exact = (
        normal(40, 3, seed=1),
        2 * normal(40, 3, seed=2),
        DualObjective(tol=1e-9),
    )
    apart = torch.stack([exact(network, x, z).loss for network in networks]).mean()
    together = exact(MeanPotential(networks), x, z).loss
    assert together < apart - 1e-3


def convex(size: float) -> Quadratic:
    """One whose psi is exactly so convex."""
    return Quadratic(2, size * torch.eye(2).double())


WEIGHTS = (0.2, 0.5, 0.3)


def weighted(*potentials: Potential) -> MeanPotential:
    return MeanPotential(potentials, WEIGHTS)


def test_a_weighted_mean_is_that_of_values_maps_and_curvatures() -> None:
    parts = [mean(2), convex(2.0), DenseICNN(2, (8,)).double()]
    potential, x, v = weighted(*parts), normal(9, 2), normal(9, 2, seed=1)
    asked: dict[str, Callable[[Potential], Tensor]] = {
        "value": lambda each: each(x),
        "same value": lambda each: each.value_and_gradient(x)[0],
        "gradient": lambda each: each.value_and_gradient(x)[1],
        "curvature": lambda each: each.hessian_product(x, v),
    }
    for found in asked.values():
        shares = [
            share * found(part) for share, part in zip(WEIGHTS, parts, strict=True)
        ]
        torch.testing.assert_close(found(potential), sum(shares))


def test_equal_weights_are_those_by_default() -> None:
    parts, x = [convex(1.0), convex(3.0)], normal(5, 2)
    told = MeanPotential(parts, [0.5, 0.5])
    torch.testing.assert_close(told(x), MeanPotential(parts)(x))
    assert MeanPotential(parts).config()["weights"] is None
    assert told.config()["weights"] == (0.5, 0.5)


def test_a_mean_is_as_convex_as_the_mean_of_its_members() -> None:
    parts = [convex(1.0), convex(2.0), convex(4.0)]
    assert weighted(*parts).strong_convexity() == pytest.approx(0.2 + 1.0 + 1.2)
    assert MeanPotential(parts).strong_convexity() == pytest.approx(7 / 3)


def test_with_one_that_may_be_concave_it_may_be_so_too() -> None:
    """By any amount: what the others are above zero does not make up for it."""
    free = DenseICNN(2, (8,)).double()
    free.readout.data.fill_(-100.0)
    for made in (
        MeanPotential([convex(2.0), free]),
        weighted(free, *[convex(2.0)] * 2),
    ):
        assert made.strong_convexity() == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [1.0],
        [0.5, 0.5],
        [0.5, 0.5, 0.5],
        [1.0, 0.0, 0.0],
        [1.5, 0.5, -1.0],
        [np.nan, 0.5, 0.5],
        [np.inf, 0.5, 0.5],
        ["a", 0.5, 0.5],
        [None, 0.5, 0.5],
    ],
    ids=str,
)
def test_weights_are_positive_and_of_sum_one(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"^weights: must be 3 positive .* sum one"):
        MeanPotential([convex(1.0)] * 3, wrong)


def test_networks_are_of_one_dimension() -> None:
    with pytest.raises(
        DataError, match=r"^networks: .* one dimension, got dimensions \[2, 3\]"
    ):
        MeanPotential([Quadratic(2), Quadratic(3)])
    with pytest.raises(DataError, match=r"^networks: must be one or more"):
        MeanPotential([])


def test_the_members_of_a_conditional_mean_share_its_weights() -> None:
    whole = Conditional(MeanPotential([DenseICNN(4, (8, 4)), DenseICNN(4, (8, 4))]), 2)
    members = whole.members()
    assert [part.transport_dim for part in members] == [2, 2]
    own = {id(parameter) for parameter in whole.parameters()}
    assert {id(parameter) for part in members for parameter in part.parameters()} == own


# ---- training


def new_task(potential: Potential, objective: DualObjective | None = None) -> DualTask:
    """Batches are always the same rows, and the potential is convex: nothing is drawn at random."""
    x, z = (torch.from_numpy(side) for side in PAIR)

    def draw(side: Tensor) -> Callable[[int, torch.Generator], Tensor]:
        return lambda n, generator: side[:n]

    return DualTask(
        potential.double(),
        objective or DualObjective(),
        MemberSamples(draw(x), draw(z), (x[800:], z[800:])),
        DualSettings(),
        torch.Generator().manual_seed(0),
    )


def run_of(task: DualTask) -> Run[Potential]:
    """A run of a task."""
    settings = Settings(max_steps=40, batch_size=64, evaluate_every=10)
    return Run(task, settings, task.generator)


def new_run(potential: Potential) -> Run[Potential]:
    """A run that trains a potential."""
    return run_of(new_task(potential))


def network(seed: int) -> Potential:
    return DenseICNN(
        2, (8, 8), convex=True, generator=torch.Generator().manual_seed(seed)
    )


def test_every_network_is_trained_as_if_it_were_alone() -> None:
    both_tasks = new_task(MeanPotential([network(1), network(2)]))
    tasks = [new_task(network(seed)) for seed in (1, 2)]
    together, alone = run_of(both_tasks), [run_of(task) for task in tasks]
    for _ in range(15):
        for run in (together, *alone):
            run.advance()
    for member, task in zip(both_tasks.members(), tasks, strict=True):
        assert same(dict(member.state_dict()), dict(task.model.state_dict()))
    assert both_tasks.drawn == 2 * tasks[0].drawn
    both = [run.history[-1]["inner_evaluations"] for run in alone]
    assert together.history[-1]["inner_evaluations"] == pytest.approx(sum(both) / 2)


def test_a_run_put_down_and_taken_up_is_the_same_run(tmp_path: Path) -> None:
    whole = new_run(MeanPotential([network(1), network(2)]))
    for _ in range(7):
        whole.advance()
    checkpoint.save_run(tmp_path, whole, "mark", seed=0)
    state = checkpoint.read_run(tmp_path)
    assert state is not None
    assert len(state["run"]["task"]["batches"]) == 2
    resumed = new_run(MeanPotential([network(3), network(4)]))
    checkpoint.restore_run(state, resumed, "mark", tmp_path)
    for _ in range(8):
        whole.advance()
        resumed.advance()
    assert same(
        dict(resumed.task.model.state_dict()), dict(whole.task.model.state_dict())
    )
    alone = new_run(network(1))
    with pytest.raises(ModelFileError, match="do not fit"):
        checkpoint.restore_run(state, alone, "mark", tmp_path)


def test_evaluation_looks_at_the_mean() -> None:
    task = new_task(MeanPotential([network(1), network(2)]))
    run = run_of(task)
    for _ in range(11):
        run.advance()
    while len(run.history) < 3:
        before = DualObjective()(run.average, *task.held_out, tol=1e-6).loss
        run.advance()
    assert run.history[-1]["value"] == pytest.approx(float(before), abs=1e-4)


def test_one_network_lost_is_a_rollback_for_all() -> None:
    class Lost(DualObjective):
        def evaluate_batches(self, *arguments):  # type: ignore[no-untyped-def]
            wrong = vars(self).get("wrong")
            for together in super().evaluate_batches(*arguments):
                yield [
                    (b, vars(self)["spoil"](value) if b.potential is wrong else value)
                    for b, value in together
                ]

    objective = Lost()
    task = new_task(MeanPotential([network(1), network(2)]), objective)
    run = run_of(task)
    run.advance()
    kept = run.result().state_dict()
    vars(objective).update(
        wrong=task.members()[1],
        spoil=lambda value: dataclasses.replace(value, loss=value.loss * np.nan),
    )
    run.advance()
    assert (run.rollbacks, run.rate_factor) == (1, 0.5)
    assert same(dict(task.model.state_dict()), dict(kept))
    for _ in range(run.settings.max_rollbacks):
        run.advance()
    assert run.finished.startswith("gave up")


# ---- the estimator


@pytest.mark.slow
def test_a_fit_of_several_networks_is_saved_and_gone_on_with(tmp_path: Path) -> None:
    ot = quick(n_networks=3, max_steps=60).fit(*PAIR)
    assert ot.diagnostics_["selected"] == "network"
    assert len(ot.map_.network.members()) == 3
    x = np.random.default_rng(1).normal(size=(2000, 2))
    assert uvp(ot.transform(x), curved(x)) < 0.5 * uvp(
        quick(max_steps=1).fit(*PAIR).transform(x), curved(x)
    )
    ot.save(tmp_path)
    again = load(tmp_path).set_params(warm_start=True)
    assert same(weights(again), weights(ot))
    for asked in (3, None):
        again.set_params(max_steps=2, n_networks=asked).fit(*PAIR)
        assert len(again.map_.network.members()) == 3
    with pytest.raises(
        DataError,
        match=r"^n_networks: is 1, the map to go on from is of 3.*warm_start=False",
    ):
        again.set_params(n_networks=1).fit(*PAIR)


@pytest.mark.slow
def test_several_networks_with_labels(tmp_path: Path) -> None:
    x, z = PAIR
    labels = np.arange(len(x)) % 2
    ot = quick("convex", n_networks=2, max_steps=60).fit(
        x, z, source_labels=labels, target_labels=labels
    )
    assert ot.diagnostics_["selected"] == "network"
    ot.save(tmp_path)
    assert np.array_equal(load(tmp_path).transform(x, labels), ot.transform(x, labels))
    back = ot.inverse_transform(ot.transform(x, labels), labels)
    assert np.abs(back - x).max() < 0.05
    again = load(tmp_path).set_params(warm_start=True, max_steps=2)
    again.fit(x, z, source_labels=labels, target_labels=labels)


def test_several_networks_go_on_from_the_affine_map() -> None:
    """It has none: all are new."""
    ot = quick(n_networks=2, max_steps=1, warm_start=True).fit(X, Y)
    assert ot.diagnostics_["selected"] == "affine"
    assert len(ot.fit(X, Y).map_.network.members()) == 2
