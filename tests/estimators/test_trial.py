"""Potentials of one's own: what is wrong with them is said before training."""

from typing import Any

import pytest
import torch
from fits import X, Y, quick
from torch import Tensor, nn
from torch.nn.functional import softplus

from brenier import DataError, DenseICNN, MeanPotential, Potential, Quadratic
from brenier.estimators.initial import POTENTIALS
from brenier.estimators.trial import check_potential


class Own(Potential):
    """A potential as users write them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.line = dim, nn.Linear(dim, 8)

    def forward(self, x: Tensor) -> Tensor:
        return softplus(self.line(x)).sum(-1)


class Column(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unsqueeze(-1)


class OneNumber(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum()


class NotFinite(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.log(-x.square().sum(-1))


class Detached(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class OfNothing(Own):
    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(-1) * torch.ones(1, requires_grad=True)


class Raising(Own):
    def forward(self, x: Tensor) -> Tensor:
        return self.missing(x)  # type: ignore[operator]


class Mixing(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - super().forward(x).mean()


class Random(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5))


class WrongGradient(Own):
    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = super().value_and_gradient(x)
        return value, 2 * gradient


class WrongShape(Own):
    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = super().value_and_gradient(x)
        return value, gradient.sum(-1)


class OneType(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x @ torch.eye(self.dim, dtype=torch.float32))


class Frozen(Own):
    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.line.bias.requires_grad_(False)


class NoParameters(Own):
    def __init__(self, dim: int) -> None:
        nn.Module.__init__(self)
        self.dim = dim


class NoDim(Own):
    def __init__(self, dim: int) -> None:
        nn.Module.__init__(self)
        self.line = nn.Linear(dim, 8)


class Abstract(Potential):
    """It does not write `forward`."""


WRONG: list[tuple[Any, str]] = [
    (Column, r"Column: its value at points .* has shape \(7, 1\); return \(7,\)"),
    (OneNumber, r"OneNumber: its value at points .* has shape \(\)"),
    (NotFinite, r"NotFinite: its value at points is not finite"),
    (Detached, r"Detached: its value depends on no parameter"),
    (OfNothing, r"OfNothing: its value depends on none of its own parameters"),
    (Raising, r"Raising failed on a trial \(AttributeError: .*missing"),
    (Mixing, r"Mixing: the value at a point depends on the other points"),
    (Random, r"Random: the value at a point depends on the other points, or on chance"),
    (WrongGradient, r"WrongGradient: `value_and_gradient` does not agree"),
    (WrongShape, r"WrongShape: its gradient .* has shape \(7,\); return \(7, 2\)"),
    (Frozen, r"Frozen has 2 parameters, 1 of which require no gradient; .*buffers"),
    (NoParameters, r"NoParameters has 0 parameters"),
    (NoDim, r"the function returned NoDim with dim=None; return .* dim=2"),
    (Abstract, r"cannot be made \(TypeError: .*give a function \(d, generator\)"),
]


@pytest.mark.parametrize(("cls", "message"), WRONG, ids=lambda given: str(given)[-30:])
def test_a_potential_that_cannot_be_trained_is_refused(cls: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^potential: {message}"):
        quick(lambda dim, _: cls(dim)).fit(X, Y)


@pytest.mark.parametrize(
    "given",
    [DenseICNN, Quadratic, Potential, DenseICNN(2), nn.Linear(2, 1), lambda: None],
    ids=["a class", "another", "the base", "a potential", "a layer", "of nothing"],
)
def test_what_is_called_and_makes_no_potential_is_refused(given: Any) -> None:
    with pytest.raises(DataError, match=r"^potential: cannot be made \(.*for example"):
        quick(given).fit(X, Y)


def test_a_potential_of_one_precision_is_refused_in_another() -> None:
    own = {"potential": lambda dim, _: OneType(dim), "max_steps": 1, "n_networks": 1}
    quick(**own).fit(X, Y)
    with pytest.raises(DataError, match=r"^potential: OneType failed on a trial"):
        quick(**own, dtype="float64").fit(X, Y)


def test_potentials_that_can_be_trained_pass() -> None:
    generator = torch.Generator().manual_seed(0)
    for make in POTENTIALS.values():
        check_potential(make(3, generator))
        check_potential(MeanPotential([make(1, generator), make(1, generator)]))
    check_potential(Quadratic(4, torch.diag(torch.tensor([1e-2, 1.0, 5.0, 1e4]))))
    quick(lambda dim, _: Own(dim), max_steps=1).fit(X, Y)
