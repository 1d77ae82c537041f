"""Neural optimal transport for a weak cost, W2,gamma: a map with noise, whose spread is rewarded.

    C(x, rho) = |x - mean(rho)|^2 / 2 + (1 - gamma) / 2 Var(rho),   rho the law of T(x, z) over the noise z

"Neural Optimal Transport" (Korotin, Selikhanovych and Burnaev, 2023).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.model import MapModel
from brenier.baselines.neural_map import (
    MapAndPotential,
    NeuralMapSettings,
    NeuralMapTask,
)
from brenier.baselines.pair_task import PairSides
from brenier.baselines.setting_checks import (
    require,
    require_between,
    require_real,
    require_whole,
)
from brenier.datasets import TableLike
from brenier.estimators import RandomState, validation


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeakSettings(NeuralMapSettings):
    """How a map with noise and a potential are trained against each other.

    Attributes:
        gamma: of the cost; with 0 it is the squared distance of both ends, and noise does not pay.
        gamma_share: of the budget, over which gamma rises from 0 to its value along a line.
        noises: draws of the noise per row and step of the map.
        noise_numbers: numbers in a draw.
        noise_deviation: their standard deviation.
        mean_noises: fixed draws over which `transform` takes the mean, an even number: half of them, and their
            negatives.
    """

    gamma: float = 0.66
    gamma_share: float = 0.25
    noises: int = 4
    noise_numbers: int = 2
    noise_deviation: float = 0.1
    mean_noises: int = 32

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        require_between("gamma", self.gamma, 0.0, 1.0)
        require_between("gamma_share", self.gamma_share, 0.0, 1.0)
        require_whole("noises", self.noises, least=2)
        require_whole("noise_numbers", self.noise_numbers)
        require_whole("mean_noises", self.mean_noises, least=2)
        even = self.mean_noises % 2 == 0
        require("mean_noises", self.mean_noises, "must be even", met=even)
        require_real("noise_deviation", self.noise_deviation, above_zero=True)

    def gamma_at(self, progress: float) -> float:
        """Return gamma where this share of the budget is used up."""
        if progress >= self.gamma_share:
            return self.gamma
        return self.gamma * progress / self.gamma_share


class NoisyMap(MapAndPotential):
    """A map T: R^d x R^k -> R^d of rows and noise, and a potential of the target.

    Args:
        dim: d.
        widths, activation, initial: of both networks.
        noise_numbers: k.
        noise_deviation: standard deviation of the noise.
        mean_noises: fixed draws of it, over which `moved` takes the mean.
        generator: source of the initial weights, and of the fixed draws.
    """

    noise: Tensor

    def __init__(
        self,
        dim: int,
        *,
        widths: Sequence[int],
        activation: str = "silu",
        initial: str = "uniform",
        noise_numbers: int = 2,
        noise_deviation: float = 0.1,
        mean_noises: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            dim,
            widths=widths,
            activation=activation,
            initial=initial,
            inputs=dim + noise_numbers,
            generator=generator,
        )
        self.noise_deviation = noise_deviation
        half = torch.randn(mean_noises // 2, noise_numbers, generator=generator)
        # With each draw its negative: what is linear in the noise leaves the mean.
        self.register_buffer("noise", noise_deviation * torch.cat([half, -half]))

    def drawn(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return T(x, z): rows (..., d) and noise (..., k) -> (..., d)."""
        found: Tensor = self.mapping(torch.cat([x, noise], -1))
        return found

    def moved(self, x: Tensor) -> Tensor:
        """Return the mean of T(x, z) over the fixed draws of z: (n, d) -> (n, d)."""
        found = torch.zeros_like(x)
        for noise in self.noise:  # one by one, so that memory does not grow with them
            found = found + self.drawn(x, noise.expand(len(x), -1))
        return found / len(self.noise)

    def one_draw(self, x: Tensor) -> Tensor:
        """Return T(x, z) with the fixed draws of z, one after the other, for rows (n, d): (n, d)."""
        index = torch.arange(len(x), device=x.device) % len(self.noise)
        return self.drawn(x, self.noise[index])

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return super().config() | {
            "noise_numbers": self.noise.shape[1],
            "noise_deviation": self.noise_deviation,
            "mean_noises": len(self.noise),
        }


class WeakTask(NeuralMapTask):
    """Some steps of the map with several draws of noise per row for one of the potential with one draw.

    Args:
        model: both networks.
        sides, generator: as for every task.
        settings: the cost and the steps.
    """

    model: NoisyMap
    settings: WeakSettings

    def drawn(self, x: Tensor) -> Tensor:
        """Return T(x, z) of rows (n, d) with one new draw of noise each: (n, d)."""
        return self._with_noise(x, 1).squeeze(1)

    def map_loss(self, x: Tensor) -> Tensor:
        """Return the mean of C(x, T(x, .)) - f(T(x, .)) over rows (n, d): a scalar, unbiased for every row."""
        moved = self._with_noise(x, self.settings.noises)
        gamma = self.settings.gamma_at(self.progress)
        factor = self.settings.cost_factor(self.model.dim)
        cost = factor * weak_cost(x, moved, gamma).mean()
        return cost - self.model.potential(moved.flatten(0, 1)).mean()

    def pushed(self, model: MapModel, x: Tensor) -> Tensor:
        """Return draws, not means, whose law is to be that of the target: (n, d) -> (n, d)."""
        return cast(NoisyMap, model).one_draw(x)

    def _with_noise(self, x: Tensor, draws: int) -> Tensor:
        """Return T(x, z) of rows (n, d) with so many new draws of noise each: (n, draws, d)."""
        shape = (len(x), draws, self.model.noise.shape[1])
        noise = self.settings.noise_deviation * self.normal(*shape)
        return self.model.drawn(x.unsqueeze(1).expand(-1, draws, -1), noise)


def weak_cost(x: Tensor, moved: Tensor, gamma: float) -> Tensor:
    """Return an unbiased estimate of C(x, rho) from independent draws of rho: (n,).

    The mean of Z draws is off by the variance over Z, so that |x - mean|^2 is too large by that: it is taken off.

    Args:
        x: rows (n, d).
        moved: draws (n, Z, d), Z >= 2.
        gamma: of the cost.
    """
    off = (x - moved.mean(1)).square().sum(-1)
    variance = moved.var(1).sum(-1)
    return 0.5 * (off + (1 - gamma - 1 / moved.shape[1]) * variance)


# Images: Adam 1e-4, batch 64, ten to one, gamma rising over the first 25,000 of 100,001 potential steps. Of tables of
# numbers none are public: networks, draws of noise and length are those of the notebooks for two features.
PUBLISHED_WEAK = WeakSettings(
    batch_size=64,
    learning_rate=1e-4,
    weight_decay=1e-10,
    final_rate=1.0,
    max_steps=10_000 * 11,
    coordinates="data",
    max_rollbacks=1,
    evaluate_every=1100,
    widths=(100, 100, 100),
    activation="relu",
    initial="kaiming",
    cost="mean",
)


class WeakNOT(LearnedBaseline[WeakSettings]):
    """Neural optimal transport for a weak cost (W2,gamma): a map of rows and noise against a potential of the target.

    "Neural Optimal Transport" (Korotin, Selikhanovych and Burnaev, 2023). What is learnt is a plan and no map: every
    row goes to a law, from which `sample` draws. `transform` is deterministic: the mean of T(x, z) over a fixed number
    of draws of z that are kept with the model (`mean_noises` of its settings, 32), the barycentric projection of the
    plan, whose law is narrower than the target's. There is no inverse.

    >>> import numpy as np
    >>> from brenier.baselines import WeakNOT
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> weak = WeakNOT(max_steps=55, random_state=0).fit(X, Y)
    >>> weak.transform(X).shape, weak.sample(X, random_state=1).shape
    ((500, 2), (500, 2))
    """

    has_inverse = False
    model_class = NoisyMap
    presets: ClassVar[Mapping[str, Any]] = {
        "published": PUBLISHED_WEAK,
        "fair": WeakSettings(learning_rate=2e-3, ema_decay=0.998),
    }

    def model(self, dim: int, generator: torch.Generator) -> NoisyMap:
        """Return the untrained networks."""
        settings = self.chosen_settings()
        return NoisyMap(
            dim,
            widths=settings.widths,
            activation=settings.activation,
            initial=settings.initial,
            noise_numbers=settings.noise_numbers,
            noise_deviation=settings.noise_deviation,
            mean_noises=settings.mean_noises,
            generator=generator,
        )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> WeakTask:
        """Return the task that trains the networks."""
        return WeakTask(model, sides, generator, self.chosen_settings())

    def sample(self, X: TableLike, random_state: RandomState = None) -> Any:
        """Return one draw of T(x, z) for every row: (n, d) -> (n, d), the same kind as X.

        Args:
            X: rows.
            random_state: seed, numpy generator or None; with an int the draws are the same every time.

        Raises:
            DataError: for samples that do not fit those of `fit`, or a seed that is none.
        """
        check_is_fitted(self, "map_")
        seed = validation.draw_seed(random_state)
        generator = torch.Generator().manual_seed(seed)
        fitted = self.map_
        model, frame = cast(NoisyMap, fitted.model), fitted.frame

        def one_draw(x: Tensor) -> Tensor:
            rows = frame.from_source(x).to(fitted.dtype)
            shape = (len(rows), model.noise.shape[1])
            noise = torch.randn(shape, generator=generator, dtype=fitted.dtype)
            spread = model.noise_deviation * noise.to(rows.device)
            return frame.to_target(model.drawn(rows, spread))

        return self._applied(X, "X", one_draw)
