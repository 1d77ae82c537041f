"""Flow matching along the pairs of minibatch plans (OT-CFM).

A velocity v(x, t) is regressed on x1 - x0 at x_t = (1 - t) x0 + t x1, where the pairs come from the exact plan between
the rows of a batch. The map follows v from t = 0 to 1, the inverse goes back. "Improving and generalizing flow-based
generative models with minibatch optimal transport" (Tong et al., 2023).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.assignment import assigned
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import Perceptron
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.training import Evaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowMatchingSettings(LearnedSettings):
    """How a velocity is fitted to the pairs of minibatch plans.

    Attributes:
        hidden: units of the layers.
        activation: between them.
        integration_steps: of the fourth-order Runge-Kutta rule, from one end of time to the other.
        noise: standard deviation of what is added to x_t.
        replacement: whether the pairs of a batch are drawn from its plan with replacement, as published; else each is
            taken once, which is the same law with less noise.
    """

    batch_size: int = 256
    hidden: tuple[int, ...] = (128, 128, 128)
    activation: str = "silu"
    integration_steps: int = 16
    noise: float = 0.0
    replacement: bool = False


class VelocityModel(MapModel):
    """A velocity v(x, t), and the map that follows it.

    Args:
        dim: d.
        hidden: units of the layers.
        activation: between them.
        integration_steps: of the map.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        activation: str = "silu",
        integration_steps: int = 16,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.hidden, self.activation = dim, list(hidden), activation
        self.integration_steps = integration_steps
        sizes = [dim + 1, *self.hidden, dim]
        self.network = Perceptron(sizes, activation, generator)

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Return v(x, t): (n, d), (n,) or one number -> (n, d)."""
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        return self.network(torch.cat([x, time.unsqueeze(1)], 1))

    def moved(self, x: Tensor) -> Tensor:
        """Return where rows are at the end of time: (n, d) -> (n, d)."""
        return self.path(x)[-1]

    def returned(self, z: Tensor) -> Tensor:
        """Return where rows came from: (n, d) -> (n, d)."""
        return self.path(z, backward=True)[-1]

    def path(self, rows: Tensor, backward: bool = False) -> list[Tensor]:
        """Return rows (n, d) along their paths, one more than there are steps of the Runge-Kutta rule of order four."""
        step = (-1.0 if backward else 1.0) / self.integration_steps
        time = 1.0 if backward else 0.0
        found = [rows]
        for _ in range(self.integration_steps):
            x = found[-1]
            first = self.velocity(x, time)
            second = self.velocity(x + 0.5 * step * first, time + 0.5 * step)
            third = self.velocity(x + 0.5 * step * second, time + 0.5 * step)
            fourth = self.velocity(x + step * third, time + step)
            found.append(x + step / 6 * (first + 2 * second + 2 * third + fourth))
            time += step
        return found

    def bend(self, x: Tensor) -> float:
        """Return how much the paths of rows (n, d) bend: zero where all are straight and of constant speed.

        It is the mean of |dx/dt - (x(1) - x(0))|^2 over time and rows, divided by that of |x(1) - x(0)|^2.
        """
        path = torch.stack(self.path(x))
        speeds = path.diff(dim=0) * self.integration_steps
        whole = path[-1] - path[0]
        excess = (speeds - whole).square().sum(-1).mean()
        return float(excess / whole.square().sum(-1).mean().clamp(min=1e-30))

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "hidden": self.hidden,
            "activation": self.activation,
            "integration_steps": self.integration_steps,
        }


class FlowMatchingTask(PairTask):
    """Regression of the velocity along the pairs of a batch.

    Args:
        model: the velocity.
        sides, generator: as for every task.
        settings: the pairs and the noise.
    """

    model: VelocityModel

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: FlowMatchingSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings

    def loss(self, rows: int) -> Tensor:
        """Return the mean squared error of the velocity: a scalar."""
        x, z = self.draw_source(rows), self.draw_target(rows)
        z = z[assigned(x, z)]
        if self.settings.replacement:
            drawn = torch.randint(rows, (rows,), generator=self.generator).to(x.device)
            x, z = x[drawn], z[drawn]
        t = self.uniform(rows)
        between = x + t.unsqueeze(1) * (z - x)
        if self.settings.noise:
            between = between + self.settings.noise * self.normal(*between.shape)
        error = self.model.velocity(between, t) - (z - x)
        return error.square().mean()

    @torch.no_grad()
    def evaluate(self, model: MapModel) -> Evaluation:
        """Return the energy distance of moved rows to the target, and how much their paths bend."""
        found = super().evaluate(model)
        if not isinstance(model, VelocityModel):
            return found
        bend = model.bend(self.sides.held_out[0])
        return found._replace(record={**found.record, "bend": bend})


class OTCFM(LearnedBaseline[FlowMatchingSettings]):
    """Flow matching along the pairs of minibatch plans (OT-CFM): a velocity learned by regression, followed in time.

    "Improving and generalizing flow-based generative models with minibatch optimal transport" (Tong et al., 2023). Each
    step is one regression, so training is as stable as any; there is no inner problem and no game. The plan between
    the rows of a batch is not that between the laws: the map is biased for every finite batch, by more in many features
    (`diagnostics_["bend"]` says how far its paths are from straight ones), and the plan's time grows like the cube of
    the batch. Both ways take 4 evaluations of the network per step in time.

    >>> import numpy as np
    >>> from brenier.baselines import OTCFM
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), rng.normal(size=(600, 2)) + 1
    >>> fitted = OTCFM(max_steps=30, random_state=0).fit(X, Y)
    >>> Z = fitted.transform(X)
    >>> bool(np.abs(fitted.inverse_transform(Z) - X).max() < 1e-3)
    True
    """

    model_class = VelocityModel
    presets: ClassVar[Mapping[str, Any]] = {
        # The examples of the public code (torchcfm): 3 layers of 64 units with SELU, Adam at 1e-3, batches of 256 rows,
        # pairs drawn with replacement, no noise. Steps differ between its examples: 10,000 to 20,000.
        "published": FlowMatchingSettings(
            hidden=(64, 64, 64),
            activation="selu",
            final_rate=1.0,
            max_steps=20_000,
            coordinates="data",
            max_rollbacks=1,
            replacement=True,
        ),
        "fair": FlowMatchingSettings(weights="average"),
    }

    def model(self, dim: int, generator: torch.Generator) -> VelocityModel:
        """Return the untrained velocity."""
        settings = self.chosen_settings()
        return VelocityModel(
            dim,
            hidden=settings.hidden,
            activation=settings.activation,
            integration_steps=settings.integration_steps,
            generator=generator,
        )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> FlowMatchingTask:
        """Return the task that trains the velocity."""
        return FlowMatchingTask(model, sides, generator, self.chosen_settings())

    def conclude(self) -> None:
        """Say how far the flow is from straight lines."""
        if self.history_:
            self.diagnostics_["bend"] = self.history_[-1]["bend"]
