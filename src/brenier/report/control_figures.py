"""The figures of a policy of control, drawn from trajectories: what they show is computed here, drawn in `plots`."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from brenier.control import (
    Action,
    Controller,
    ControlProblem,
    ControlSearch,
    FeedbackPolicy,
    Grid,
    ImplicitController,
    KnownValue,
    Trajectory,
    roll_out,
    smallest_distance,
)
from brenier.report import plots
from brenier.report.figures import ReportFigure, write_figures
from brenier.report.plots.control import Course, Numbers, ValueSlice
from brenier.report.plots.swarm import Paths
from brenier.solve import Solution


@dataclasses.dataclass(frozen=True)
class ControlFigureSettings:
    """How much of trajectories figures show.

    Attributes:
        paths: trajectories drawn where there is one agent.
        dots: trajectories marked in slices of the value function.
        cells: of a slice along either axis.
        border: of a slice around all trajectories, as a share of their range.
        max_kinds: of states or controls that have a panel each; more share one.
    """

    paths: int = 12
    dots: int = 64
    cells: int = 61
    border: float = 0.15
    max_kinds: int = 8


FIGURES = ControlFigureSettings()


class KnownController(Controller):
    """Acts by the known value function of a problem.

    Args:
        problem: a `KnownValue`.
    """

    def __init__(self, problem: ControlProblem, known: KnownValue) -> None:
        super().__init__()
        self.problem, self.known = problem, known
        self.search = ControlSearch()

    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        """Return the controls that minimise the Hamiltonian of the known costate."""
        hamiltonian = self.problem.hamiltonian(t, z, self.known.costate(t, z))
        found = self.search.find(hamiltonian, self.problem.first_control(t, z))
        return Action(found.point, found)


@torch.no_grad()
def control_figures(
    policy: FeedbackPolicy, found: Trajectory, folder: Path, animate: bool = True
) -> list[ReportFigure]:
    """Write the figures of a policy into a folder; those that fail with a warning.

    Args:
        policy: with its training record, where it has one.
        found: trajectories of it.
        folder: where the figures go.
        animate: whether a moving picture of agents is made too.
    """
    drawings: dict[ReportFigure, Callable[..., None]] = {}

    def add(name: str, caption: str, draw: Callable[..., None]) -> None:
        drawings[ReportFigure(name, caption)] = draw

    if policy.history:
        caption = "Training: the mean cost, and the share of unconverged controls."
        draw = functools.partial(plots.control_training, policy.history)
        add("training.png", caption, draw)
    paths = _paths(policy.problem, found)
    if paths is not None:
        draw = functools.partial(plots.paths_picture, paths)
        add("paths.png", f"{paths.title}.", draw)
        if animate:
            draw = functools.partial(plots.animation, paths)
            add("paths.gif", f"{paths.title}, on their way.", draw)
    places = policy.problem.positions(found.states)
    if places is not None and places.shape[-2] > 1:
        apart = smallest_distance(places)
        draw = functools.partial(plots.nearest_agents, _in_double(found.times), _in_double(apart))  # fmt: skip
        add("distances.png", "How near agents come to each other.", draw)
    for name, caption, panels in _courses(
        policy.problem, found, policy.grid, paths is None
    ):
        draw = functools.partial(plots.courses, panels, caption.rstrip("."))
        add(name, caption, draw)
    if isinstance(policy.controller, ImplicitController):
        draw = functools.partial(_draw_slices, policy, found)
        caption = "Slices of the value function, other states as on the mean trajectory."  # fmt: skip
        add("value.png", caption, draw)
    return write_figures(folder, drawings)


def _in_double(values: Tensor) -> Numbers:
    """Return a tensor as an array in double precision."""
    return values.detach().double().cpu().numpy()


def _paths(problem: ControlProblem, found: Trajectory) -> Paths | None:
    """Return where agents go from one initial state, or one agent goes from several; None without positions."""
    places = problem.positions(found.states)
    if places is None:
        return None
    agents, targets = places.shape[-2], problem.target_positions()
    if agents > 1:
        shown, title = places[:, 0], f"Paths of {agents} agents"
    else:
        shown = places[:, : FIGURES.paths, 0]
        title = f"Paths from {shown.shape[1]} initial states"
    ends = None if targets is None else _in_double(targets.expand(shown.shape[1:]))
    return Paths(_in_double(found.times), _in_double(shown), ends, title)


def _courses(
    problem: ControlProblem, found: Trajectory, grid: Grid, with_states: bool
) -> list[tuple[str, str, list[Course]]]:
    """Return file, caption and panels of states and controls over time, from one initial state."""
    known: Trajectory | None = None
    if isinstance(problem, KnownValue):
        known = roll_out(
            problem, KnownController(problem, problem), found.states[0, :1], grid
        )
    times = _in_double(found.times)
    files = []
    if with_states:
        best = None if known is None else _in_double(known.states[:, 0])
        states = _in_double(found.states[:, 0])
        panels = _kind_panels(problem.state_names, "states", times, states, best)
        files.append(("states.png", "States from one initial state.", panels))
    best = None if known is None else _held(known.controls[:, 0])
    controls = _held(found.controls[:, 0])
    panels = _kind_panels(
        problem.control_names, "controls", times, controls, best, True
    )
    return [*files, ("controls.png", "Controls from one initial state.", panels)]


def _held(controls: Tensor) -> Numbers:
    """Return controls (steps, m) with the last one held to the end: (steps + 1, m)."""
    return _in_double(torch.cat([controls, controls[-1:]]))


def _kind_panels(
    names: Sequence[str],
    together: str,
    times: Numbers,
    values: Numbers,
    known: Numbers | None,
    held: bool = False,
) -> list[Course]:
    """Return a panel for each kind of states or controls."""
    kinds: dict[str, list[int]] = {}
    agents = any(re.search(r" \[\d+\]$", name) for name in names)
    ending = r" \[\d+\]$" if agents else r"[ _]?\d+$"
    for place, name in enumerate(names):
        kinds.setdefault(re.sub(ending, "", name) or name, []).append(place)
    if len(kinds) > FIGURES.max_kinds:
        kinds = {together: list(range(len(names)))}
    return [
        Course(
            title=kind,
            names=[_line_name(names[place]) for place in places],
            times=times,
            values=values[:, places],
            known=None if known is None else known[:, places],
            held=held,
        )
        for kind, places in kinds.items()
    ]


def _line_name(name: str) -> str:
    """Return what a line is called in a panel of its kind."""
    return re.sub(r"^.* \[(\d+)\]$", r"agent \1", name)


def _draw_slices(policy: FeedbackPolicy, found: Trajectory, path: Path) -> None:
    """Draw slices of the value function over the first two states at three times."""
    count = min(2, policy.problem.state_dim)
    last = len(found.controls) - 1
    places = sorted({0, len(found.controls) // 2, last})
    slices = [_value_slice(policy, found, k, count) for k in places]
    names = policy.problem.state_names[:count]
    told = [re.sub(r" \[(\d+)\]$", r" of agent \1", name) for name in names]
    plots.value_slices(slices, told, path)


def _value_slice(
    policy: FeedbackPolicy, found: Trajectory, k: int, count: int
) -> ValueSlice:
    """Return a slice at time step k over so many states."""
    states, mean = found.states, found.states.mean(1)
    seen = states[..., :count].flatten(0, 1)
    low, high = seen.amin(0), seen.amax(0)
    longest = (high - low).max()
    # Square cells where ranges are much the same; and no slice without a width.
    half = torch.maximum(high - low, longest / 4).clamp(min=1e-6) / 2
    half = half + FIGURES.border * half
    axes = [
        torch.linspace(float(c - h), float(c + h), FIGURES.cells)
        for c, h in zip((low + high) / 2, half, strict=True)
    ]
    cells = torch.cartesian_prod(*axes).reshape(-1, count).to(states)
    z = mean[k].repeat(len(cells), 1)
    z[:, :count] = cells
    z = torch.cat([z, mean[k : k + 1]])
    time = float(found.times[k])
    shape = [FIGURES.cells] * count

    def beyond(values: Tensor) -> Numbers:
        return _in_double(values[:-1] - values[-1]).reshape(shape).T

    problem = policy.problem
    known = None
    if isinstance(problem, KnownValue):
        known = beyond(problem.value(z.new_full((len(z),), time), z))
    return ValueSlice(
        time=time,
        axes=[_in_double(each) for each in axes],
        values=beyond(policy.value(z, time)),
        known=known,
        states=_in_double(states[k, : FIGURES.dots, :count]),
        mean=_in_double(mean[:, :count]),
        point=_in_double(mean[k, :count]),
    )
