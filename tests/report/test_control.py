"""The report of a policy of control: its facts are true, its page whole, its figures there."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from report.plots.drawn import check_drawn

from brenier.control import (
    DirectController,
    FeedbackPolicy,
    Grid,
    OptimalControl,
    QuadraticIntegrator,
    ValueNetwork,
    problem_named,
    smallest_distance,
)
from brenier.report import control_report, measure_policy, policy_settings
from brenier.report.control import first_line, told_fields
from brenier.report.control_figures import KnownController


def trained(name: str, **fields: object) -> FeedbackPolicy:
    """A policy after two steps."""
    problem = problem_named(name, **fields)
    return OptimalControl(problem, max_steps=2, batch_size=4, width=8).fit().policy_


def optimal(problem: QuadraticIntegrator) -> FeedbackPolicy:
    """The policy that acts by the known value function."""
    controller = KnownController(problem, problem)
    controller.register_parameter("like", torch.nn.Parameter(torch.zeros(1).double()))
    return FeedbackPolicy(controller)


PROBLEMS: dict[str, dict[str, object]] = {
    "double-integrator": {"steps": 3},
    "quadratic-integrator": {"steps": 3, "dim": 2},
    "quadrotor": {"steps": 2, "agents": 22, "layout": "grid"},
}
FIGURES = {
    "double-integrator": {"states.png", "controls.png"},
    "quadratic-integrator": {"controls.png", "paths.png", "paths.gif"},
    "quadrotor": {"controls.png", "paths.png", "paths.gif", "distances.png"},
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.filterwarnings("error")
def test_a_report_has_the_figures_of_its_problem(name: str, tmp_path: Path) -> None:
    policy = trained(name, **PROBLEMS[name])
    page = control_report(tmp_path / "new", policy, measure_policy(policy, states=16))
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Feedback policy of the problem {name}\n")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    agents = ["Agents"] if "distances.png" in FIGURES[name] else []
    assert headings == [
        *("What is controlled", "Costs", "Optimality", *agents),
        *("Training", "Settings", "Figures"),
    ]
    figures = re.findall(r"!\[.+\]\((\S+)\)", text)
    assert set(figures) == FIGURES[name] | {"training.png", "value.png"}
    assert {path.name for path in page.parent.iterdir()} == {"report.md", *figures}
    for figure in figures:
        if figure.endswith(".png"):
            check_drawn(page.parent / figure)


def test_facts_are_those_of_a_rollout() -> None:
    policy = trained("bicycle", agents=3, steps=4)
    facts, found = measure_policy(policy, seed=3, states=16)
    assert facts.cost == pytest.approx(float(found.cost.mean()))
    assert facts.cost == pytest.approx(facts.running_cost + facts.terminal_cost)
    again = policy.rollout(found.states[0])
    torch.testing.assert_close(again.states, found.states)
    places = policy.problem.positions(found.states)
    assert places is not None
    assert facts.smallest_distance == float(smallest_distance(places).min())
    assert facts.optimal_cost is None
    assert facts.excess is None
    assert measure_policy(policy, seed=4, states=16).facts.cost != facts.cost


def test_the_known_optimum_has_no_excess_and_solves_the_equation() -> None:
    problem = QuadraticIntegrator(dim=2, steps=4)
    policy = optimal(problem)
    facts = measure_policy(policy, states=32).facts
    assert facts.excess == pytest.approx(0, abs=1e-12)
    assert facts.unconverged == 0
    assert "this is" in facts.statement()
    # Without a value function that is learnt, there is no equation to look at.
    assert facts.hjb_residual is None
    assert facts.smallest_distance is None


def test_the_equation_is_that_of_the_value_function() -> None:
    class Known(torch.nn.Module):
        """The value function of the problem, as a network (n, d + 1) -> (n,)."""

        def __init__(self) -> None:
            super().__init__()
            self.like = torch.nn.Parameter(torch.zeros(1).double())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return problem.value(x[:, -1], x[:, :-1])

    problem = QuadraticIntegrator(dim=2, steps=4)
    how = OptimalControl(problem, network=Known(), dtype="float64", max_steps=1)
    facts = measure_policy(how.fit().policy_, states=8).facts
    assert facts.hjb_residual == pytest.approx(0, abs=1e-12)
    assert facts.mean_hamiltonian is not None
    assert facts.mean_hamiltonian > 0.01


def test_the_optimum_of_another_grid_is_not_compared() -> None:
    policy = optimal(QuadraticIntegrator(steps=4))
    other = FeedbackPolicy(policy.controller, Grid(4, "rk4"))
    assert measure_policy(other, states=8).facts.optimal_cost is None
    assert measure_policy(policy, states=8).facts.optimal_cost is not None
    habits = trained("consumption", steps=3, agents=2, eta=0.9)
    assert measure_policy(habits, states=8).facts.optimal_cost is None


def test_policies_made_by_hand_have_no_training_and_pictures_need_not_move(
    tmp_path: Path,
) -> None:
    problem = problem_named("bicycle", steps=3)
    network = ValueNetwork(4, 8, generator=torch.Generator().manual_seed(0))
    policy = FeedbackPolicy(DirectController(problem, network))
    page = control_report(tmp_path, policy, measure_policy(policy, states=4), False)
    text = page.read_text()
    assert "## Training" not in text
    assert "phi_t" not in text
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"report.md", "paths.png", "controls.png"}


def test_settings_tell_the_network_and_how_it_was_trained() -> None:
    policy = trained("double-integrator", steps=3)
    policy.diagnostics["settings"] = {"max_steps": 2}
    settings = policy_settings(policy)
    assert settings["width"] == 8
    assert settings["rule"] == "one_step"
    assert settings["scheme"] == "euler"
    assert settings["max_steps"] == 2


def test_matrices_are_told_by_their_shape() -> None:
    fields = told_fields(problem_named("regulator"))
    assert fields["B"] == "10 x 4 matrix"
    assert told_fields(problem_named("bicycle"))["target"] == "1.0, 1.0"


def test_a_problem_without_words_says_nothing() -> None:
    mute = type("Mute", (QuadraticIntegrator,), {"__doc__": None})
    assert first_line(QuadraticIntegrator).startswith("z' = u")
    assert first_line(dataclasses.dataclass(frozen=True)(mute)) == ""
