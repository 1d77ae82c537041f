"""The benchmark of control: what is known is measured as such, and every row has a line of its own."""

import dataclasses
import math

import pytest
import torch

from benchmarks.control import (
    cosine,
    judge,
    kick,
    making,
    published,
    rules,
    study,
    swarms,
    training,
    truth,
)
from benchmarks.control.cases import CASES, Budget, held_out
from brenier.control import (
    Bicycle,
    Consumption,
    ControlGradient,
    Grid,
    ImplicitController,
    Quadrotor,
    ValueFunction,
    ValueNetwork,
    roll_out,
)
from brenier.control.known_hamiltonians import ExponentialHamiltonian

NO_TIME = Budget(steps=1)
KNOWN = ("quadratic-1", "quadratic-10", "double-q0", "double-q1", "regulator")
EXPONENTIAL = ("exponential-1", "exponential-10", "exponential-100")


@pytest.fixture(scope="module")
def flags():
    return study.ARGUMENTS.parse(None, ["--quick", "--threads", "1"])


def judged(name: str, method: str, flags):
    made = making.made(CASES[name], method, 0, NO_TIME)
    return judge.judge(made.policy, CASES[name], 0, flags)


# ---- policies


@pytest.mark.parametrize("name", [*KNOWN, *EXPONENTIAL])
def test_the_known_value_function_is_optimal(name: str, flags) -> None:
    found = judged(name, "exact", flags)
    # Held controls lose a little, but where they are constant.
    on_grid = 1e-3 if name in ("double-q0", "double-q1", "regulator") else 1e-8
    assert found["ratio"] == pytest.approx(1, abs=on_grid)
    assert found["worst_ratio"] > 1 - 1e-8
    assert found["below"] == found["unconverged"] == 0
    assert found["hjb_gap"] < 1e-8
    assert found["costate_error"] < 1e-8


@pytest.mark.parametrize("name", [*KNOWN, "exponential-10", "consumption"])
def test_nothing_costs_more(name: str, flags) -> None:
    assert judged(name, "nothing", flags)["ratio"] > 1.01


def test_the_usual_guess_of_consumption_is_nearly_its_optimum(flags) -> None:
    assert judged("consumption", "linear", flags)["ratio"] == pytest.approx(1, abs=0.01)


def test_a_quadrotor_that_hovers_stays_where_it_is() -> None:
    policy = making.made(CASES["quadrotor"], "nothing", 0, NO_TIME).policy
    found = judge.follow(policy, torch.zeros(1, 12, dtype=torch.float64))
    assert found.states.abs().max() < 1e-12
    hovering = 4.5 * math.exp(0.125) + 1000 / 4 * 12
    assert found.cost.item() == pytest.approx(hovering)


def test_costs_below_the_optimum_are_counted() -> None:
    least = torch.tensor([1.0, 2.0, 3.0]).double().numpy()
    found = judge.costs_over(torch.tensor([0.998, 1.9999, 3.3]), least)
    assert found["below"] == 1
    assert found["worst_ratio"] == pytest.approx(1.1)
    assert found["ratio"] == pytest.approx((0.998 + 1.9999 + 3.3) / 6)


def test_a_value_function_that_is_wrong_is_seen() -> None:
    case = CASES["double-q1"]
    network = ValueNetwork(2, 8, generator=torch.Generator().manual_seed(0))
    controller = ImplicitController(ValueFunction(case.problem, network)).double()
    z = held_out(case.problem, 4, 0)
    found = roll_out(case.problem, controller, z, Grid(case.problem.steps))
    gap, error = judge.hjb_gap(controller, found), judge.costate_error(controller, z)
    assert gap is not None
    assert error is not None
    assert min(gap, error) > 0.1


# ---- published settings


@pytest.mark.parametrize(("pull", "reached"), [(1, 0.049), (10, 0.486), (100, 2.689)])
def test_published_searches_end_where_the_specification_says(
    pull: float, reached: float
) -> None:
    b = torch.tensor([[float(pull), 0, 0, 0]]).double()
    search = published.PlainSearch(tol=0.1, relative=False, max_steps=499, exact=False)
    found = search.find(ExponentialHamiltonian(b), torch.zeros_like(b))
    assert found.point.norm().item() == pytest.approx(reached, abs=6e-4)
    assert found.unconverged == (pull < 100)


def test_a_published_search_of_consumption_ends_above_the_habits() -> None:
    problem = Consumption(agents=2, guess="even")
    z = held_out(problem, 3, 0)
    t = torch.zeros(3).double()
    with torch.enable_grad():
        value = ValueFunction(problem, training.NoNetwork())
        h = problem.hamiltonian(t, z, value.jet(z, t).costate.detach())
    search = published.SoftplusSearch(
        tol=1e-10, relative=False, max_steps=20_000, size=0.05
    )
    found = search.find(h, problem.first_control(t, z))
    torch.testing.assert_close(found.point, h.exact(), rtol=1e-3, atol=0)
    early = dataclasses.replace(search, max_steps=1).find(h, found.point)
    assert (early.point > z[:, 1:]).all()
    assert early.unconverged == 3


def test_the_rate_falls_on_a_plateau() -> None:
    run = training.start_run(
        training.control_of(CASES["quadratic-1"].problem, 0, NO_TIME)
    )
    plateau = published.Plateau(patience=2)
    for loss in (3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0):
        plateau.after_step(run, loss)
    assert run.rate_factor == 1
    plateau.after_step(run, 1.0)
    assert run.rate_factor == 0.5


# ---- rules


def test_only_unrolling_keeps_more_with_more_inner_iterations(flags) -> None:
    problem = Quadrotor(steps=3)
    more = {
        name: rules.kept_by_rule(rules.RULES[name], problem, 0, flags)["kib_per_inner"]
        for name in ("one-step", "one-step+5", "implicit", "unrolled")
    }
    unrolled = more.pop("unrolled")
    assert set(more.values()) == {0.0}
    # At the least the control, four numbers of four bytes, in each of two rows and three steps.
    assert unrolled > 2 * 3 * 4 * 4 / 1024


def test_a_direct_policy_has_as_many_parameters() -> None:
    for name in rules.PROBLEMS:
        problem = CASES[name].problem
        usual = sum(p.numel() for p in ValueNetwork(problem.state_dim).parameters())
        own = sum(p.numel() for p in rules.direct(problem, 0).parameters())
        assert own == pytest.approx(usual, rel=0.02)


# ---- cosines


def compared(name: str) -> dict[str, float]:
    problem = CASES[name].problem
    generator = torch.Generator().manual_seed(0)
    network = ValueNetwork(problem.state_dim, 16, generator=generator)
    controller = ImplicitController(ValueFunction(problem, network)).double()
    return cosine.compare(controller, held_out(problem, 4, 0), Grid(5), 2)


def test_both_gradients_are_one_where_the_hessian_is_the_identity() -> None:
    found = compared("quadratic-10")
    assert found["cosine"] == pytest.approx(1)
    assert found["length"] == pytest.approx(1)
    assert found["gamma"] == pytest.approx(0, abs=1e-12)


def test_gamma_is_that_of_the_weights_of_the_controls() -> None:
    found = compared("regulator")
    assert found["gamma"] == pytest.approx(1 - 0.5 / 4)
    assert 0 < found["cosine"] < 1
    assert found["condition"] > 1


# ---- swarms and kicks


def test_a_step_that_keeps_too_much_is_cut_into_segments(monkeypatch) -> None:
    problem = Bicycle(agents=4, layout="grid")
    control = training.control_of(problem, 0, NO_TIME)
    assert swarms.segment_of(control) == 0
    monkeypatch.setattr(swarms, "MOST_KEPT", 2**20)
    assert 0 < swarms.segment_of(control) < problem.steps


def test_one_agent_starts_as_far_from_its_target_as_in_the_swarm(flags) -> None:
    pytest.importorskip("casadi")
    problem = Bicycle(agents=1, layout="grid", start_spread=0.0)
    z = problem.initial_states(1, torch.Generator())
    found = swarms.alone(problem, z[0], flags)
    own = truth.least_costs(Bicycle(), z, flags.starts)
    assert own is not None
    assert found == pytest.approx(float(own[0]))


def test_replayed_controls_cost_what_was_planned(flags) -> None:
    pytest.importorskip("casadi")
    problem = Bicycle(steps=20)
    z = held_out(problem, 2, 0)
    planned = truth.open_loop(problem, z, 1)
    assert planned is not None
    replay = kick.Replay(problem, torch.from_numpy(planned.controls).transpose(0, 1))
    found = roll_out(problem, replay, z, Grid(20))
    torch.testing.assert_close(
        found.cost, torch.from_numpy(planned.costs), rtol=1e-6, atol=0
    )


# ---- lines


def test_every_row_has_a_line_of_its_own() -> None:
    flags = study.ARGUMENTS.parse(None, ["--threads", "1"])
    keys = [
        (problem.name, method.name)
        for problem in study.problems(flags)
        for method in study.methods(flags, problem.value)
    ]
    assert len(set(keys)) == len(keys)
    assert {problem.value.table for problem in study.problems(flags)} == set(
        study.PARTS
    )


def test_flags_choose_tables_problems_and_methods() -> None:
    words = "--tables policies rules --problems regulator --methods oracle exact"
    flags = study.ARGUMENTS.parse(None, words.split())
    keys = [
        (problem.name, method.name)
        for problem in study.problems(flags)
        for method in study.methods(flags, problem.value)
    ]
    assert keys == [
        ("regulator", "exact"),
        ("regulator, equal steps", "oracle, 300 steps"),
        ("regulator, equal time", "oracle, 120 s"),
    ]


def test_rules_of_rows_are_those_that_are_told() -> None:
    assert rules.RULES["one-step+5"].gradient == ControlGradient(tracked_steps=5)
    assert not rules.RULES["implicit"].search.exact
    assert rules.RULES["oracle"].search.exact
