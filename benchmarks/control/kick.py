"""A kick of the state at half time: the feedback policy beside the open-loop optimum, whose controls are replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.control import truth
from benchmarks.control.cases import Budget, Case, chosen, held_out
from benchmarks.control.making import made
from benchmarks.control.policies import is_of
from benchmarks.harness import Choice, Column, Flags, Ledger, Row, Table
from benchmarks.harness.rows import latest, read
from brenier.control import Action, Controller, ControlProblem, Grid, roll_out
from brenier.solve import Solution

PROBLEMS = ("quadrotor", "bicycle")
SIZES = (0.0, 0.03, 0.1, 0.3)  # standard deviations of every state


class Replay(Controller):
    """Does what was planned, whatever the state.

    Args:
        problem: what it acts on.
        controls: held over the steps of the grid, (steps, n, m).
    """

    def __init__(self, problem: ControlProblem, controls: Tensor) -> None:
        super().__init__()
        self.problem = problem
        self.controls = nn.Parameter(controls, requires_grad=False)

    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        """Return the controls of the step that begins at these times, all equal."""
        step = round(float(t[0]) * len(self.controls) / self.problem.horizon)
        return Action(self.controls[step].to(z))


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen(flags, PROBLEMS):
        yield Choice(f"{case.name}, kick", case)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    budget = Budget.of(flags, case.minutes)
    for size in SIZES:
        text = f"default, {budget}, kick {size:g}"
        yield Choice(text, (size, budget), {"kick": size})


def measure(
    case: Case, method: tuple[float, Budget], seed: int, flags: Flags
) -> dict[str, Any]:
    """Kick both in the same way, and return what they cost."""
    size, budget = method
    problem = case.problem
    z0 = held_out(problem, flags.hard_states, seed)
    planned = truth.open_loop(problem, z0, flags.starts)
    if planned is None:
        raise ModuleNotFoundError(
            "casadi is missing: install the extra control-benchmarks"
        )
    policy = made(case, "default", seed, budget).policy
    replay = Replay(problem, torch.from_numpy(planned.controls).transpose(0, 1))
    half, generator = problem.steps // 2, torch.Generator().manual_seed(seed)
    kick = size * torch.randn(z0.shape, generator=generator, dtype=torch.float64)

    def disturb(k: int, t: float, z: Tensor) -> Tensor:
        return z + kick.to(z) if k == half else z

    feedback, open_loop = (
        roll_out(problem, controller, z0.to(like), Grid(problem.steps), disturb)
        for controller, like in (
            (policy.controller, policy.like),
            (replay, replay.controls),
        )
    )
    own, other = feedback.cost.double(), open_loop.cost.double()
    return {
        "feedback": float(own.mean()),
        "replayed": float(other.mean()),
        "better": 100 * float((own < other).double().mean()),
        "planned": float(planned.costs.mean()),
        "unconverged": int((feedback.status != 0).sum()),
    }


def draw(rows: list[Row], path: Path) -> None:
    """Write the figure: mean costs against the size of the kick; none where no rows have them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.get("replayed") and row.get("feedback")]
    names = list(dict.fromkeys(row.problem for row in shown))
    if not names:
        return
    figure = Figure(figsize=(4.6 * len(names), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(places, names, strict=True):
        own = [row for row in shown if row.problem == name]
        own = [row for row in own if row.seed == own[0].seed]
        sizes = [row.get("kick") for row in own]
        for number, label in (
            ("feedback", "feedback policy"),
            ("replayed", "open loop, replayed"),
        ):
            axes.plot(sizes, [row.get(number) for row in own], "o-", label=label)
        axes.set(xlabel="kick, standard deviation", ylabel="cost", yscale="log")
        axes.set_title(name.split(",")[0])
        axes.legend(frameon=False)
    figure.savefig(path, dpi=140)


def finish(ledger: Ledger) -> None:
    """Draw the figure beside the rows."""
    rows = [row for row in latest(read(ledger.path)) if is_of("kick", row)]
    draw(rows, ledger.folder / "control-kick.png")


TABLE = Table(
    "control-kick",
    "control",
    (
        Column("feedback", "feedback", ".5g"),
        Column("open loop, replayed", "replayed", ".5g"),
        Column("feedback better in % of states", "better", ".0f", min),
        Column("optimum without a kick", "planned", ".5g"),
    ),
    where=lambda row: is_of("kick", row),
)
