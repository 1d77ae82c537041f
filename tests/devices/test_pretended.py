"""The pretended device keeps the rules of a GPU: what may be mixed, what waits, and what is computed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pretended import DEVICE, MismatchError, OnDevice, pretended_device
from torch import Tensor, nn

ROWS = torch.arange(12.0).view(4, 3)
INDEX = torch.tensor([2, 0])

MIXED: dict[str, Callable[[Tensor], Any]] = {
    "a sum": lambda there: there + ROWS,
    "a product of matrices": lambda there: there @ ROWS.mT,
    "a sum into the CPU": lambda there: ROWS.clone().add_(there),
    "rows joined": lambda there: torch.cat([there, ROWS]),
    "numbers joined": lambda there: torch.stack([there.sum(), ROWS.sum()]),
    "rows selected": lambda there: there.index_select(0, INDEX),
    "rows of the CPU": lambda there: ROWS[INDEX.to(there.device)],
    "a choice": lambda there: torch.where(there > 0, there, ROWS),
    "random numbers": lambda there: torch.randn(
        3, generator=torch.Generator(), device=there.device
    ),
    "noise in place": lambda there: there.normal_(generator=torch.Generator()),
}
ALLOWED: dict[str, Callable[[Tensor], Tensor]] = {
    "a number": lambda t: t + torch.tensor(2.0),
    "row numbers of the CPU": lambda t: t[INDEX],
    "a number in a choice": lambda t: torch.where(t > 4, t, torch.tensor(-1.0)),
    "numbers assigned": lambda t: t.clone().index_fill_(0, INDEX.to(t.device), 7.0),
    "copies": lambda t: t.clone().copy_(ROWS),
    "a view written to": lambda t: t.clone().view(-1).mul_(3).view(4, 3),
    "new tensors": lambda t: t.new_zeros(3) + t.new_tensor([1.0, 2.0, 3.0]),
    "a quantile": lambda t: t.quantile(0.3, dim=0),
    "a decomposition": lambda t: torch.linalg.cholesky(
        t.mT @ t + 1e3 * t.new_ones(3).diag()
    ),
}
WAITS: dict[str, tuple[int, Callable[[Tensor], Any]]] = {
    "arithmetic": (0, lambda t: (t * 2 + t.sum(0)).clamp(0, 1)),
    "a condition": (1, lambda t: bool((t > 0).all())),
    "a number": (1, lambda t: t.sum().item()),
    "a list": (1, lambda t: t.tolist()),
    "a copy back": (1, lambda t: t.cpu()),
    "positions": (1, lambda t: (t > 3).nonzero()),
    "rows by a mask": (1, lambda t: t[t[:, 0] > 3]),
    "distinct numbers": (1, lambda t: t.unique()),
    "a copy there": (1, lambda t: ROWS.to(t.device)),
    "a copy there at once": (0, lambda t: ROWS.to(t.device, non_blocking=True)),
    "a constant": (1, lambda t: torch.tensor(1.0, device=t.device)),
    "a filled tensor": (0, lambda t: torch.full((3,), 1.0, device=t.device)),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_is_mixed_is_refused(name: str) -> None:
    """Tensors of both sides in one operator raise, as on a GPU."""
    with pretended_device():
        there = ROWS.to(DEVICE)
        with pytest.raises(MismatchError, match=r"same device|generator"):
            MIXED[name](there)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_computed_is_what_the_cpu_computes(name: str) -> None:
    """What a GPU takes is taken, and its numbers are those of the CPU."""
    right = ALLOWED[name](ROWS)
    with pretended_device():
        found = ALLOWED[name](ROWS.to(DEVICE))
        assert isinstance(found, OnDevice)
        assert found.device == DEVICE
        assert torch.equal(found.cpu(), right)


@pytest.mark.parametrize("name", WAITS)
def test_what_makes_the_host_wait_is_counted(name: str) -> None:
    """Values read, shapes that follow from values, and copies are counted; all else is not."""
    count, function = WAITS[name]
    with pretended_device() as traffic:
        there = ROWS.to(DEVICE)
        traffic.clear()
        function(there)
        assert traffic.waits() == count


def test_numpy_takes_nothing_of_the_device() -> None:
    """As of a GPU, numpy is given a copy or nothing."""
    with pretended_device():
        there = ROWS.to(DEVICE)
        for convert in (np.asarray, lambda each: each.numpy()):
            with pytest.raises(TypeError, match="can't convert cuda"):
                convert(there)
        assert np.asarray(there.cpu()).shape == (4, 3)


def test_networks_train_there_as_here() -> None:
    """A network moved to the device learns the same weights, to the bit, and is saved as one of the CPU."""
    torch_state = []
    for place in (torch.device("cpu"), DEVICE):
        with pretended_device():
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
            network.to(place)
            optimizer = torch.optim.Adam(network.parameters())
            for _ in range(3):
                optimizer.zero_grad()
                network(ROWS.to(place)).square().mean().backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            assert all(each.device == place for each in network.parameters())
            torch_state.append([each.detach().cpu() for each in network.parameters()])
    for here, there in zip(*torch_state, strict=True):
        assert torch.equal(here, there)


def test_the_true_device_meta_is_left_alone() -> None:
    """Shapes without numbers are asked for as ever."""
    with pretended_device(), torch.device("meta"):
        assert type(torch.zeros(3)) is Tensor


def test_a_device_may_lack_float64() -> None:
    """Told so, the device refuses float64, as some do."""
    with pretended_device(double=False):
        there = ROWS.to(DEVICE)
        with pytest.raises(TypeError, match="float64"):
            there.double()
