"""The training of a characteristic flow, as a task: its batches, its loss, and what it is judged by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from brenier.baselines.flow_loss import (
    EnergyTerms,
    energy_terms,
    forward_map,
    mean_distance,
    moved_energy,
    residuals,
)
from brenier.baselines.flow_network import FlowNetwork, Jet
from brenier.training import Evaluation, Loss, Task
from brenier.transport.costs import Cost

# (n, generator) -> n rows of one side of one class, in the coordinates.
DrawSide: TypeAlias = Callable[[int, torch.Generator], Tensor]
SideRows: TypeAlias = tuple[Tensor, Tensor]  # of both sides of a class


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """What a characteristic flow is trained by.

    Attributes:
        energy_weight: of the energy distance, whose values are small, beside the residual.
        residual: "characteristics", the method; "equation", the residual of a physics-informed network in its place;
            "none", the energy distance alone.
        noise: standard deviation of what is added to points between both sides, in that of the data: so that points
            fill a region.
        gaussian_share: of the points that are normal about the centre instead.
        gaussian_width: their standard deviation, in that of the data.
        centred_from: features from which on a batch is moved to the mean of its population, by about a standard
            deviation over the root of its rows. Of many features the energy distance sees the mean first: in d = 64
            that of 512 rows is off by ten times what the covariances still say. In the plane it gains little.
        max_reuse: times that each row may have been drawn while the latest weights still are the best of equal ones.
    """

    energy_weight: float = 10.0
    residual: str = "characteristics"
    noise: float = 0.1
    gaussian_share: float = 0.1
    gaussian_width: float = 1.5
    centred_from: int = 4
    max_reuse: float = 10.0


class DrawnClass(NamedTuple):
    """How rows of either side of a class are drawn.

    Attributes:
        source, target: (n, generator) -> (n, d).
        size: rows of the smaller side, infinity for streams.
        means: (d,), (d,), of either side.
    """

    source: DrawSide
    target: DrawSide
    size: float
    means: SideRows


class FlowTask(Task[FlowNetwork]):
    """Rows of both sides, and points between them, on which the loss of `flow_loss` is taken.

    Args:
        model: u.
        cost: h, in the coordinates.
        draws: of every class; of one where there are no labels.
        held_out: of every class, rows of both sides that training never sees.
        settings: the loss.
        generator: the only source of randomness.
    """

    averages = ("train_residual", "train_energy")

    def __init__(
        self,
        model: FlowNetwork,
        cost: Cost,
        draws: Sequence[DrawnClass],
        held_out: Sequence[SideRows],
        settings: FlowSettings,
        generator: torch.Generator,
    ) -> None:
        self.model, self.cost, self.draws, self.held_out = model, cost, draws, held_out
        self.settings, self.generator = settings, generator
        self.reused = 0.0  # how often each row of the smallest class was drawn
        self.points = self._points(
            [x[: min(map(len, (x, y)))] for x, y in held_out],
            [y[: min(map(len, (x, y)))] for x, y in held_out],
        )
        among = [float(mean_distance(y)) for _, y in held_out]
        self._among = math.fsum(among) / len(among)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the loss of one batch: of so many rows from either side, as many of every class."""
        xs, ys = list[Tensor](), list[Tensor]()
        for drawn in self.draws:
            each = max(2, int(min(rows // len(self.draws), drawn.size)))
            x, y = self._batch(drawn, each)
            xs.append(x)
            ys.append(y)
        self.reused += max(
            len(x) / drawn.size for x, drawn in zip(xs, self.draws, strict=True)
        )
        points, t = self._points(xs, ys)
        sources = torch.cat(xs)
        n = len(points)
        # One sweep through the network for both terms.
        whole = torch.cat([points, sources]), torch.cat([t, t.new_zeros(len(sources))])
        jet = self.model.jet(*whole)
        moved = sources + self.cost.conjugate_gradient(jet.gradient[n:])
        energies = [
            moved_energy(f, y)
            for f, y in zip(moved.split([len(x) for x in xs]), ys, strict=True)
        ]
        energy = torch.stack(energies).mean()
        value = self.settings.energy_weight * energy
        residual = value.new_zeros(())
        if self.settings.residual != "none":
            at = Jet(*(part[:n] for part in jet))
            residual = self._residuals(self.model, points, t, at).square().mean()
            value = value + residual
        record = {
            "train_residual": math.sqrt(float(residual.detach())),
            "train_energy": float(energy.detach()) - self._among,
        }
        finite = math.isfinite(float(value.detach()))
        yield Loss(value, [record], "" if finite else "the loss is not finite")

    @torch.no_grad()
    def evaluate(self, model: FlowNetwork) -> Evaluation:
        """Return the loss on the rows held out."""
        weight = self.settings.energy_weight / len(self.held_out)
        terms, value = list[Tensor](), 0.0
        found = [self.energy(model, rows) for rows in self.held_out]
        for each in found:
            value += weight * each.value
            # What pairs of rows vary by beyond the rows: of two numbers about zero, whose mean has that error.
            beyond = each.of_first.new_tensor([each.chance, -each.chance])
            terms += [weight * part for part in (each.of_first, each.of_second, beyond)]
        record = {"energy": math.fsum(each.value for each in found) / len(found)}
        if self.settings.residual != "none":
            squares = self._residuals(model, *self.points).square()
            terms.append(squares)
            value += float(squares.mean())
            record["residual"] = math.sqrt(float(squares.mean()))
        fresh = self.reused <= self.settings.max_reuse
        return Evaluation(value, tuple(terms), record, fresh=fresh)

    @torch.no_grad()
    def energy(self, model: FlowNetwork, rows: SideRows) -> EnergyTerms:
        """Return the energy distance of moved rows of one side to those of the other."""
        return energy_terms(forward_map(model, self.cost, rows[0]), rows[1])

    def state_dict(self) -> dict[str, Any]:
        """Return how often rows were drawn."""
        return {"reused": self.reused}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up how often rows were drawn."""
        self.reused = float(state["reused"])

    def summary(self, row: Mapping[str, float]) -> str:
        """Return a row of the history as a progress bar shows it."""
        residual = f" residual={row['residual']:.2g}" if "residual" in row else ""
        return f"{super().summary(row)} energy={row['energy']:.2g}{residual}"

    def _batch(self, drawn: DrawnClass, n: int) -> SideRows:
        """Return n rows of either side of a class, of as many features as that moved to their means."""
        x, y = drawn.source(n, self.generator), drawn.target(n, self.generator)
        if x.shape[1] < self.settings.centred_from or n >= drawn.size:
            return x, y
        # The variance that is lost with the mean is given back.
        grown = math.sqrt(n / (n - 1))
        of_x, of_y = drawn.means
        return (x - x.mean(0)) * grown + of_x, (y - y.mean(0)) * grown + of_y

    def _residuals(
        self, model: FlowNetwork, x: Tensor, t: Tensor, jet: Jet | None = None
    ) -> Tensor:
        """Return the residual that is trained, at points (n, d), (n,)."""
        return residuals(model, self.cost, x, t, jet, self.settings.residual)

    def _points(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> SideRows:
        """Return where the residual is taken: points (n, d) between rows of either side, class by class, and t (n,).

        Times have the law of the root of a uniform number: at time 0 there is no residual, and the backward map is read
        at time 1.
        """
        settings, x = self.settings, torch.cat(list(xs))
        n = len(x)
        t = self._random(n, x, uniform=True).sqrt()
        between = torch.lerp(x, torch.cat(list(ys)), t.unsqueeze(-1))
        between = between.add_(self._random(x.shape, x), alpha=settings.noise)
        if settings.gaussian_share:
            normal = settings.gaussian_width * self._random(x.shape, x)
            chosen = self._random(n, x, uniform=True) < settings.gaussian_share
            between = torch.where(chosen.unsqueeze(-1), normal, between)
        return between, t

    def _random(
        self, shape: int | torch.Size, like: Tensor, uniform: bool = False
    ) -> Tensor:
        """Return random numbers, normal unless they are to be uniform, on the device and in the type of a tensor."""
        draw = torch.rand if uniform else torch.randn
        return draw(shape, generator=self.generator, dtype=like.dtype).to(like.device)
