"""What swarms share: the cost of being near each other, the distance between agents, grids to start and to end on."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from brenier.control.checks import require_count, require_number
from brenier.control.problem import ControlProblem
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swarm(ControlProblem):
    """N agents with states and controls of their own, agent by agent, that feel each other when near.

    The running cost is `effort` + interaction * W, with W as in `interaction`.

    Attributes:
        agents: N.
        terminal_weight: the weight of G.
        interaction: the weight of W.
        radius: how far agents are felt by each other.
        target: where all agents end in the layout "point".
        start_spread: standard deviation of what is drawn at the start.
        largest_deviation: where that of the layout "grid" is cut off, in standard deviations, so that none collide.
        layout: "point" or "grid".
    """

    agent_states: ClassVar[int]
    agent_controls: ClassVar[int]
    axes: ClassVar[int]  # of positions, the first states of an agent

    agents: int = 1
    terminal_weight: float = 1.0
    interaction: float = 0.0
    radius: float = 1.0
    target: tuple[float, ...] = ()
    start_spread: float = 0.1
    largest_deviation: float = 2.5
    layout: str = "point"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("agents", self.agents, "agents")
        require_number("radius", self.radius, "how far agents are felt by each other")
        cut = "where spread is cut off"
        require_number("largest_deviation", self.largest_deviation, cut)
        for name in ("terminal_weight", "interaction", "start_spread"):
            what = f"the {name.replace('_', ' ')}"
            require_number(name, getattr(self, name), what, zero=True)
        place = require_place("target", self.target, self.axes)
        object.__setattr__(self, "target", place)
        require_choice("layout", self.layout, ("point", "grid"))

    @abc.abstractmethod
    def effort(self, u: Tensor) -> Tensor:
        """Return what controls cost: (n,)."""

    @property
    def state_dim(self) -> int:
        """As many for each agent."""
        return self.agent_states * self.agents

    @property
    def control_dim(self) -> int:
        """As many for each agent."""
        return self.agent_controls * self.agents

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return L: (n,)."""
        effort = self.effort(u)
        if self.agents == 1 or self.interaction == 0:
            return effort
        near = interaction(self.positions(z), self.radius)
        return effort + self.interaction * near

    def positions(self, z: Tensor) -> Tensor:
        """Return where agents are: (..., d) -> (..., N, 2 or 3)."""
        return self._each(z)[..., : self.axes]

    def _each(self, z: Tensor) -> Tensor:
        """Return states agent by agent: (..., d) -> (..., N, d / N)."""
        return z.unflatten(-1, (self.agents, self.agent_states))

    def _start_noise(self, n: int, axes: int, generator: torch.Generator) -> Tensor:
        """Draw deviations of the first states of every agent: (n, N, axes), float64."""
        drawn = (n, self.agents, axes)
        noise = torch.randn(drawn, generator=generator, dtype=torch.float64)
        largest = self.largest_deviation if self.layout == "grid" else math.inf
        return self.start_spread * noise.clamp(-largest, largest)

    def _segment(self, parts: int) -> int:
        """Return how many time steps keep their graph at once: of many agents one of so many parts, else all."""
        return 0 if self.agents < 20 else max(1, self.steps // parts)


def interaction(positions: Tensor, radius: float) -> Tensor:
    """Return W = 1/(2N) sum_{i<j} exp(-d_ij^2 / (2 radius^2)) over pairs nearer than 2 radius.

    Squares of distances come from one product of matrices, so that memory is n N^2 numbers, and no root is taken, so
    that agents at one place have a derivative. Like the published cost, W jumps where a pair comes nearer than 2
    radius.

    Args:
        positions: where agents are, (n, N, 2 or 3).
        radius: how far agents are felt.

    Returns:
        (n,).
    """
    agents = positions.shape[-2]
    if agents == 1:
        return positions.new_zeros(positions.shape[0])
    # Distances do not change with the centre, and near it their squares lose fewest digits.
    x = positions - positions.detach().mean(-2, keepdim=True)
    near = -2 * (x @ x.mT)
    norms = x.square().sum(-1)
    squares = near + norms[:, :, None] + norms[:, None, :]
    apart = squares.detach() >= (2 * radius) ** 2
    apart.diagonal(dim1=-2, dim2=-1).fill_(True)
    pairs = torch.exp(squares / (-2 * radius**2)).masked_fill(apart, 0)
    return pairs.sum((-2, -1)) / (4 * agents)


@torch.no_grad()
def smallest_distance(positions: Tensor) -> Tensor:
    """Return the distance between the two nearest agents: (..., N, 2 or 3) -> (...); infinite for one agent."""
    agents, axes = positions.shape[-2:]
    rows = positions.detach().reshape(-1, agents, axes)
    found = rows.new_full((len(rows),), math.inf)
    itself = torch.eye(agents, dtype=torch.bool, device=rows.device)
    block = max(1, 4_000_000 // agents**2)
    for at in range(0, len(rows) if agents > 1 else 0, block):
        part = rows[at : at + block]
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(part, part, compute_mode=exact)
        found[at : at + block] = distances.masked_fill(itself, math.inf).amin((-2, -1))
    return found.reshape(positions.shape[:-2])


def grid(agents: int, width: float, height: float) -> Tensor:
    """Return places on a grid around the origin, filled row by row: (agents, 2), float64.

    One column, or one row, lies in the middle.
    """
    columns = math.ceil(math.sqrt(agents))
    rows = math.ceil(agents / columns)
    across, up = (
        (torch.arange(k, dtype=torch.float64) - (k - 1) / 2) * (size / max(k - 1, 1))
        for k, size in ((columns, width), (rows, height))
    )
    return torch.cartesian_prod(up, across).flip(-1)[:agents]


def quarter_turn(places: Tensor) -> Tensor:
    """Return places turned by a right angle about the origin: (..., 2).

    Agents that fly straight from turned places to the places themselves, all in step, cross each other's paths, yet any
    two stay as far apart as their distance over the root of 2: every course between them turns by the same right angle.
    """
    return torch.stack([-places[..., 1], places[..., 0]], -1)


def numbered(agents: int, names: Sequence[str]) -> list[str]:
    """Return names for all agents in turn, with the agent's number where there are several."""
    if agents == 1:
        return list(names)
    return [f"{name} [{i}]" for i in range(agents) for name in names]


def require_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a name that is not known.

    Raises:
        DataError: value is none of known.
    """
    if value not in known:
        raise DataError(
            f"{name}: unknown, got {value!r}; choose one of {', '.join(known)}",
            argument=name,
        )


def require_place(name: str, place: tuple[float, ...], axes: int) -> tuple[float, ...]:
    """Return a place as a tuple of numbers.

    Raises:
        DataError: it has not as many finite numbers as axes.
    """
    try:
        found = tuple(float(value) for value in place)
    except (TypeError, ValueError):
        found = ()
    if len(found) != axes or not all(map(math.isfinite, found)):
        raise DataError(
            f"{name}: must be {axes} finite numbers, got {place!r}; give one for each axis",
            argument=name,
        )
    return found
