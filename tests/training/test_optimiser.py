"""Optimisers of one's own: what cannot be used is refused by name."""

from functools import partial
from typing import Any

import pytest
import torch
from fits import X, Y, quick
from pytorch_optimizer import SAM, AdaHessian, AliG
from torch import nn

from brenier import DataError
from brenier.training.optimiser import own_optimizer, take_step

WRONG: list[tuple[Any, str]] = [
    (torch.optim.LBFGS, r"LBFGS needs a closure .*choose one that does without"),
    (partial(torch.optim.Adam, lr=-1), r"cannot be made \(ValueError: Invalid lear"),
    (partial(torch.optim.Adam, rate=1), r"cannot be made \(TypeError: .*give a fun"),  # type: ignore[call-arg]
    (SAM, r"cannot be made \(TypeError: .*base_optimizer"),
    (AliG, r"AliG has no learning rate `lr`"),
    (lambda _: None, r"the function returned NoneType; return a torch optimiser"),
    (dict, r"cannot be made \("),
    (torch.optim.SparseAdam, r"SparseAdam failed in a step \(.*dense gradients"),
    (AdaHessian, r"AdaHessian failed in a step \("),
    ("adam", r"must be a function of the parameters or None"),
    (torch.optim.Adam(nn.Linear(1, 1).parameters()), r"must be a function of the"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=map(str, range(len(WRONG))))
def test_an_optimiser_that_cannot_be_used_is_refused(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^optimizer: {message}"):
        quick(optimizer=given, max_steps=2, n_networks=1).fit(X, Y)


@pytest.mark.parametrize(
    "make", [torch.optim.Adam, torch.optim.SGD, torch.optim.Rprop, torch.optim.ASGD]
)
def test_usual_ones_are_made_and_step(make: Any) -> None:
    line = nn.Linear(2, 1)
    optimizer = own_optimizer(make, line.parameters())
    before = line.weight.detach().clone()
    line(torch.ones(3, 2)).sum().backward()
    take_step(optimizer, own=True)
    assert not torch.equal(line.weight, before)


def test_the_default_fails_with_its_own_error() -> None:
    class Failing(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise RuntimeError("from within")

    optimizer = Failing(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match=r"^from within"):
        take_step(optimizer, own=False)
    with pytest.raises(DataError, match=r"^optimizer: Failing failed.*from within"):
        take_step(optimizer, own=True)
