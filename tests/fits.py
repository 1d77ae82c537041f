"""Small samples, and an estimator that is fitted to them in a moment."""

from typing import Any

import numpy as np
import torch

from brenier import OptimalTransport
from brenier.metrics import l2_uvp

_RNG = np.random.default_rng(0)
X, Y = (
    _RNG.normal(size=(400, 2)),
    _RNG.normal(size=(300, 2)) @ np.array([[1.5, 0.5], [0.5, 1.0]]) + 1,
)
NAMES = ["a", "b"]


def curved(x: np.ndarray) -> np.ndarray:
    """The gradient of a convex function: an optimal map, far from affine."""
    return x + 2 * np.tanh(3 * x)


_SAMPLES = _RNG.normal(size=(2000, 2))
PAIR = (
    _SAMPLES[:1000],
    curved(_SAMPLES[1000:]),
)  # of which 60 steps of `quick` learn more than the affine map


def quick(potential: Any = "free", **parameters: Any) -> OptimalTransport:
    """An estimator that takes 20 small steps and always the same ones."""
    return OptimalTransport(
        potential,
        **{"max_steps": 20, "batch_size": 128, "random_state": 0, **parameters},
    )


def weights(ot: OptimalTransport) -> dict[str, torch.Tensor]:
    """The weights of the fitted network, and the coordinates it works in."""
    return {**ot.map_.network.state_dict(), **ot.map_.coordinates.tensors()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether all tensors are equal to the bit."""
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def uvp(moved: Any, truth: Any) -> float:
    """L2-UVP of arrays, in percent."""
    return l2_uvp(
        torch.as_tensor(np.asarray(moved)), torch.as_tensor(np.asarray(truth))
    )
