"""FFJORD and RNODE: published sizes, densities against the change of variables, and what their ways cost."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier.baselines import FFJORD, RNODE, ContinuousFlowSettings
from brenier.baselines.continuous_flow import ContinuousFlow, SquashStage
from brenier.baselines.ode import Solver

SIZES = {
    "power": 43_325,
    "gas": 278_565,
    "hepmass": 546_850,
    "miniboone": 820_613,
    "bsds300": 6_698_666,
}


def rows(n: int, dim: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def flow(**given: object) -> ContinuousFlow:
    made = ContinuousFlow(
        2,
        hidden=[6, 5],
        blocks=2,
        learn_time=True,
        generator=torch.Generator().manual_seed(3),
        **given,  # type: ignore[arg-type]
    ).double()
    with torch.no_grad():
        for number, stage in enumerate(made.each_stage()):
            assert isinstance(stage, SquashStage)
            stage.root_time.fill_(1.2 + 0.3 * number)
    return made


@pytest.mark.parametrize("method", [FFJORD, RNODE])
@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_published(method: type[FFJORD], name: str) -> None:
    dim = method.published_sets[name].dim
    with torch.device("meta"):
        made = method("published").model(dim, torch.Generator())
    assert sum(part.numel() for part in made.state_dict().values()) == SIZES[name]
    assert method("published").settings_for(dim) == method.published_for(name)


def test_evaluations_of_rnode_are_those_of_the_tables() -> None:
    # "OT-Flow", table 2: evaluations of all blocks in one training step.
    known = {"power": 200, "gas": 200, "hepmass": 400, "miniboone": 16, "bsds300": 200}
    for name, evaluations in known.items():
        settings = RNODE.published_for(name)
        assert 4 * settings.steps * settings.blocks == evaluations
        assert settings.solver().rtol is None
        assert FFJORD.published_for(name).solver().rtol == 1e-6


def test_the_nearest_published_set_is_taken() -> None:
    near = {d: FFJORD("published").settings_for(d) for d in (2, 7, 13, 30, 500)}
    names = ("power", "gas", "hepmass", "hepmass", "bsds300")
    for settings, name in zip(near.values(), names, strict=True):
        assert settings == FFJORD.published_for(name)
    assert near[2].hidden(2) == [20, 20, 20]


def test_densities_are_those_of_the_change_of_variables() -> None:
    made, z = flow(steps=40), rows(6, 2)
    found = made.log_density(z)
    for row, value in zip(z, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda r: made.returned(r[None])[0], row
        )
        latent = made.returned(row[None])[0]
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(latent).sum()
        expected = normal + torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


def test_adaptive_densities_and_maps_agree_with_equal_steps() -> None:
    pytest.importorskip("torchdiffeq")
    z, fine = rows(6, 2), flow(steps=100)
    adaptive = flow(rtol=1e-9, atol=1e-10)
    for name in ("log_density", "moved", "returned"):
        found, expected = getattr(adaptive, name)(z), getattr(fine, name)(z)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    coarse = flow(rtol=1e-2, atol=1e-2)
    assert coarse.evaluations_of_map(z) < adaptive.evaluations_of_map(z)


def test_maps_are_inverse() -> None:
    made, z = flow(steps=40), rows(6, 2)
    torch.testing.assert_close(made.moved(made.returned(z)), z, rtol=0, atol=1e-6)
    assert float((made.returned(z) - z).detach().abs().max()) > 0.1


def test_ways_cost_kinetic_energy_and_the_norm_of_the_jacobian() -> None:
    made, x, t = flow(), rows(4, 2), 0.4
    stage = next(made.each_stage())
    carried = torch.cat([x, torch.zeros(4, 3)], 1)
    found = stage.rates(t, carried, None, costs=True)
    # Per second of the block, which lasts 1.44; rates are per unit of t.
    last = 1.44
    speed = stage.velocity(t, x) / last
    torch.testing.assert_close(found[:, 3], last * 0.5 * speed.square().mean(1))
    for row, square in zip(x, found[:, 4], strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda r: stage.velocity(t, r[None])[0], row
        )
        expected = (jacobian / last).square().sum() / 2 * last
        torch.testing.assert_close(square, expected)


def test_the_objective_weighs_what_the_way_costs() -> None:
    settings = ContinuousFlowSettings(kinetic_weight=0.3, jacobian_weight=0.7)
    passage = flow().passage(rows(5, 2), costs=True)
    kinetic, jacobian = passage.costs.mean(0)
    expected = passage.nll().mean() + 0.3 * kinetic + 0.7 * jacobian
    torch.testing.assert_close(settings.objective(passage), expected)
    free = flow().passage(rows(5, 2))
    assert free.costs.numel() == 0
    torch.testing.assert_close(
        ContinuousFlowSettings().objective(free), passage.nll().mean()
    )


def test_estimated_divergences_are_right_on_average() -> None:
    made, n = flow(steps=10), 20_000
    z = rows(1, 2).expand(n, -1)
    with torch.no_grad():
        exact = float(made.log_density(z[:1]))
        found = -made.passage(z, probe=rows(n, 2, seed=7)).nll()
    error = float(found.std()) / n**0.5
    assert abs(float(found.mean()) - exact) < 4 * error
    assert error > 0


def test_adjoint_gradients_are_those_of_equal_steps() -> None:
    pytest.importorskip("torchdiffeq")
    gradients = []
    for solver in (Solver(60), Solver(rtol=1e-10, atol=1e-11, adjoint=True)):
        made = flow()
        loss = made.passage(rows(8, 2), solver, probe=rows(8, 2, seed=9)).nll().mean()
        gradients.append(torch.autograd.grad(loss, list(made.parameters())))
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_rnode_starts_at_rest() -> None:
    x, y = rows(300, 2), rows(300, 2, seed=4)
    settings = dataclasses.replace(RNODE.presets["fair"], learning_rate=1e-12)
    fitted = RNODE(settings, max_steps=1, random_state=0).fit(x, y)
    frame = fitted.map_.frame
    moved = fitted.transform(x)
    torch.testing.assert_close(moved, frame.to_target(frame.from_source(x)))


def test_published_settings_train() -> None:
    pytest.importorskip("torchdiffeq")
    x, y = rows(300, 2), rows(300, 2, seed=4).exp()
    small = dataclasses.replace(
        FFJORD.published_for("power"), batch_size=64, blocks=2, rtol=1e-4, atol=1e-4
    )
    fitted = FFJORD(small, max_steps=6, random_state=0).fit(x, y)
    last = fitted.history_[-1]
    # Adaptive steps of order five take six evaluations each and some more, in either block.
    assert last["evaluations"] >= 2 * 8
    assert last["train_nll"] == last["train_loss"]
    assert np.isfinite(fitted.diagnostics_["nll"])
    assert fitted.diagnostics_["round_trip"] < 1e-3
