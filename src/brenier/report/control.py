"""The report of a policy of control: what it costs, how near it is to an optimum, its training, with figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from brenier.control import (
    ControlProblem,
    FeedbackPolicy,
    Grid,
    ImplicitController,
    Trajectory,
    equation_along,
    problem_name,
    roll_out,
    smallest_distance,
    trajectory_facts,
)
from brenier.errors import DataError
from brenier.report.control_figures import control_figures
from brenier.report.figures import figures_section
from brenier.report.fit import settings_section, training_section
from brenier.report.page import PAGE, Section, write_report
from brenier.report.tables import markdown_table

CONTROL_COLUMNS = {
    "step": "step",
    "seconds": "seconds",
    "value": "mean cost",
    "standard_error": "± one s.e.",
    "running_cost": "running",
    "terminal_cost": "terminal",
    "train_cost": "training batches",
    "held_out_unconverged": "unconverged",
    "learning_rate": "learning rate",
}


@runtime_checkable
class HasLeastCost(Protocol):
    """A problem whose least cost is known, perhaps not for all its numbers."""

    def optimal_cost(self, z: Tensor) -> Tensor:
        """Return the least cost from z (n, d) at time 0 by `steps` Euler steps: (n,)."""
        ...


@dataclasses.dataclass(frozen=True)
class PolicyFacts:
    """What a policy does from fresh initial states.

    Attributes:
        states: how many.
        cost: of a trajectory, the mean.
        standard_error: of that mean.
        running_cost, terminal_cost: its parts.
        optimal_cost: the least mean cost from the same states, or None where it is not known on the policy's grid.
        unconverged: the share of controls whose search did not converge.
        largest_residual: the largest |grad_u H|, relative to 1 + |f_u' p|.
        hjb_residual: the mean |phi_t + H| along trajectories, or None without a value function.
        mean_hamiltonian: the mean |H| there, or None likewise.
        smallest_distance: between two agents, at any time, or None for one agent or none.
    """

    states: int
    cost: float
    standard_error: float
    running_cost: float
    terminal_cost: float
    optimal_cost: float | None
    unconverged: float
    largest_residual: float
    hjb_residual: float | None
    mean_hamiltonian: float | None
    smallest_distance: float | None

    @property
    def excess(self) -> float | None:
        """How far the cost is above the least one, as a share of it, or None where that is not known."""
        if self.optimal_cost is None:
            return None
        return (self.cost - self.optimal_cost) / abs(self.optimal_cost)

    def statement(self) -> str:
        """Return the facts in a few sentences, one a line."""
        lines = [
            f"Mean cost {self.cost:.4g} ± {self.standard_error:.1g} from {self.states} fresh initial states: "
            f"running {self.running_cost:.4g}, terminal {self.terminal_cost:.4g}."
        ]
        if self.optimal_cost is not None and self.excess is not None:
            lines.append(
                f"The least possible is {self.optimal_cost:.4g}; this is {100 * self.excess:.2g} % more."
            )
        lines.append(
            f"{100 * self.unconverged:.3g} % of the controls unconverged; largest |grad_u H| "
            f"{self.largest_residual:.1e} of its scale."
        )
        if self.smallest_distance is not None:
            lines.append(
                f"Smallest distance between two agents: {self.smallest_distance:.3g}."
            )
        return "\n".join(lines)


class MeasuredPolicy(NamedTuple):
    """The facts, and the trajectories that they are of."""

    facts: PolicyFacts
    trajectory: Trajectory


@torch.no_grad()
def measure_policy(
    policy: FeedbackPolicy, seed: int = 0, states: int = 256
) -> MeasuredPolicy:
    """Return what a policy does from initial states that training never saw.

    Args:
        policy: in its own grid of time.
        seed: of the initial states.
        states: how many.
    """
    problem, controller = policy.problem, policy.controller
    # One more than the seed, which training may have begun with.
    generator = torch.Generator().manual_seed(seed + 1)
    z = problem.initial_states(states, generator).to(policy.like)
    found = roll_out(problem, controller, z, policy.grid)
    gap = size = None
    if isinstance(controller, ImplicitController):
        gap, size = equation_along(controller, found)
    facts = PolicyFacts(
        states=states,
        **trajectory_facts(found),
        optimal_cost=_optimal_cost(policy, z),
        hjb_residual=gap,
        mean_hamiltonian=size,
        smallest_distance=_nearest_pair(problem, found),
    )
    return MeasuredPolicy(facts, found)


def control_report(
    folder: Path,
    policy: FeedbackPolicy,
    measured: MeasuredPolicy,
    animate: bool = True,
) -> Path:
    """Write the report of a policy, its figures drawn from the trajectories measured.

    Args:
        folder: where the page and its figures go; made where there is none.
        policy: with the record of its training, where it has one.
        measured: by `measure_policy`.
        animate: whether a moving picture of agents is made too.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts, problem = measured.facts, policy.problem
    figures = control_figures(policy, measured.trajectory, folder, animate)
    stopped = str(policy.diagnostics.get("stopped", "unknown"))
    sections = [
        Section("What is controlled", _about(problem)),
        Section("Costs", _costs(facts, problem)),
        Section("Optimality", _optimality(facts)),
        Section("Agents", _agents(facts)),
        training_section(policy.history, stopped, CONTROL_COLUMNS),
        settings_section(policy_settings(policy)),
        figures_section(figures),
    ]
    title = f"Feedback policy of the problem {problem_name(problem)}"
    write_report(folder / PAGE, title, sections)
    return folder / PAGE


def told_fields(problem: ControlProblem) -> dict[str, object]:
    """Return the fields of a problem as a table can show them: of matrices their shapes."""
    return {name: _short(value) for name, value in problem.config().items()}


def policy_settings(policy: FeedbackPolicy) -> dict[str, object]:
    """Return how a policy works, and how it was trained as far as it knows."""
    found: dict[str, object] = dict(dataclasses.asdict(policy.grid))
    controller = policy.controller
    if isinstance(controller, ImplicitController):
        network: nn.Module = controller.value.network
        search = controller.search
        method = "the usual one" if search.method is None else str(search.method)
        found |= {
            "network": type(network).__name__,
            "terminal_condition": controller.value.terminal_condition,
            "rule": controller.gradient.rule,
            "search": method,
            "search_tol": search.tol,
            "search_max_steps": search.max_steps,
        }
        config: Callable[[], dict[str, object]] | None
        config = getattr(network, "config", None)
        found |= {} if config is None else config()
    found["weights"] = sum(each.numel() for each in controller.parameters())
    found["dtype"] = str(policy.like.dtype).removeprefix("torch.")
    trained = policy.diagnostics.get("settings", {})
    return found | (dict(trained) if isinstance(trained, Mapping) else {})


def _about(problem: ControlProblem) -> str:
    """Return what is controlled: a sentence and the fields."""
    fields = markdown_table(["field", "value"], list(told_fields(problem).items()))
    about = first_line(type(problem))
    sizes = f"{problem.state_dim} states, {problem.control_dim} controls."
    return f"{about}\n\n{sizes}\n\n{fields}"


def first_line(kind: type[ControlProblem]) -> str:
    """Return the first line of what a problem says about itself; nothing where it says nothing."""
    told = (kind.__doc__ or "").strip().splitlines()
    # A dataclass without words of its own is described by its signature.
    return told[0] if told and not told[0].startswith(f"{kind.__name__}(") else ""


def _costs(facts: PolicyFacts, problem: ControlProblem) -> str:
    """Return what trajectories cost, as a table."""
    rows: list[Sequence[object]] = [
        ("mean cost", facts.cost),
        ("± one standard error", facts.standard_error),
        ("running cost", facts.running_cost),
        ("terminal cost", facts.terminal_cost),
    ]
    if facts.optimal_cost is not None:
        least = f"least possible mean cost, by {problem.steps} Euler steps"
        rows += [(least, facts.optimal_cost), ("more than that, as a share", facts.excess)]  # fmt: skip
    table = markdown_table(["of a trajectory", "value"], rows)
    return f"From {facts.states} fresh initial states.\n\n{table}"


def _optimality(facts: PolicyFacts) -> str:
    """Return how well the controls minimise the Hamiltonian, and the value function solves its equation."""
    rows: list[Sequence[object]] = [
        ("unconverged controls, as a share", facts.unconverged),
        ("largest |grad_u H|, of 1 + |f_u' p|", facts.largest_residual),
    ]
    told = ""
    if facts.hjb_residual is not None and facts.mean_hamiltonian is not None:
        share = facts.hjb_residual / (facts.mean_hamiltonian or math.nan)
        rows.append(("mean |phi_t + H|, of the mean |H|", share))
        told = (
            "\n\nOnly the gradient of the value function in the state steers. Unless `hjb_weight` is above zero, "
            "training does not ask its derivative in time to fit, and the last row may be large for a good policy."
        )
    return markdown_table(["along all trajectories", "value"], rows) + told


def _agents(facts: PolicyFacts) -> str:
    """Return how near agents come to each other; nothing where there are not two."""
    if facts.smallest_distance is None:
        return ""
    return (
        "The smallest distance between two agents, at any time step from any initial state, is "
        f"{facts.smallest_distance:.4g}."
    )


def _optimal_cost(policy: FeedbackPolicy, z: Tensor) -> float | None:
    """Return the least mean cost from initial states (n, d) on the policy's grid, or None where it is not known."""
    problem = policy.problem
    if not isinstance(problem, HasLeastCost) or policy.grid != Grid(problem.steps):
        return None
    try:
        return float(problem.optimal_cost(z).mean())
    except DataError:  # of numbers for which it has no closed form
        return None


def _nearest_pair(problem: ControlProblem, found: Trajectory) -> float | None:
    """Return the smallest distance between two agents, or None where there are not two."""
    places = problem.positions(found.states)
    if places is None or places.shape[-2] < 2:
        return None
    return float(smallest_distance(places).min())


def _short(value: object) -> object:
    """Return a value as one cell shows it."""
    if not isinstance(value, list | tuple):
        return value
    if value and isinstance(value[0], list | tuple):
        return f"{len(value)} x {len(value[0])} matrix"
    return ", ".join(map(str, value))
