"""Where a mask is true, without asking a device what is already known."""

from __future__ import annotations

from torch import Tensor


def positions(mask: Tensor, count: int) -> Tensor:
    """Return where a mask (n,) is true, in order, of which there are so many: (count,).

    `mask.nonzero()` has a GPU finish all its work first, since the result's shape follows from numbers there. Of a
    known shape it goes on, at the price of a sort.

    >>> import torch
    >>> positions(torch.tensor([True, False, True]), 2)
    tensor([0, 2])
    """
    if mask.device.type == "cpu":
        return mask.nonzero().squeeze(-1)
    return mask.byte().argsort(descending=True, stable=True)[:count]
