"""The rows that every table needs: doing nothing, and moving all to one place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brenier.baselines.closed_form import ClosedForm, Computed, DrawnRows
from brenier.baselines.model import MapFrame, MapModel


class IdentityModel(MapModel):
    """x -> x.

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def moved(self, x: Tensor) -> Tensor:
        """Return the rows themselves: (n, d) -> (n, d)."""
        return x

    def returned(self, z: Tensor) -> Tensor:
        """Return the rows themselves: (n, d) -> (n, d)."""
        return z

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim}


class ConstantModel(MapModel):
    """x -> one point.

    Args:
        dim: d.
        point: (d,), or None where it is about to be loaded.
    """

    point: Tensor

    def __init__(self, dim: int, *, point: Tensor | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("point", torch.zeros(dim) if point is None else point)

    def moved(self, x: Tensor) -> Tensor:
        """Return the point for every row: (n, d) -> (n, d)."""
        return self.point + 0 * x  # with a graph to x, as of every map

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim}


class Identity(ClosedForm):
    """T(x) = x, both ways: what a method has to beat before it has learned anything.

    Its error is that of doing nothing, which on mild pairs is below that of many a published method. `max_rows`,
    `random_state` and `dtype` are those of all closed forms, and change nothing: rows come back as they are.

    >>> import numpy as np
    >>> from brenier.baselines import Identity
    >>> X, Y = np.eye(3), np.ones((4, 3))
    >>> Identity().fit(X, Y).transform(X)
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """

    model_class = IdentityModel

    def frame(self, x: Tensor, z: Tensor) -> MapFrame:
        """Return the coordinates of the data."""
        MapFrame.common(x, z).check()  # refuses what every other method refuses
        return MapFrame.of_data(x.shape[1], x.device)

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the model of the identity."""
        return Computed(IdentityModel(rows.source.shape[1]), {})


class Constant(ClosedForm):
    """T(x) = the mean of Y: all rows go to one point, which is 100 per cent of unexplained variance by definition.

    There is no inverse. See `ClosedForm` for the parameters.

    >>> import numpy as np
    >>> from brenier.baselines import Constant
    >>> X, Y = np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> Constant().fit(X, Y).transform(X)
    array([[2., 3.],
           [2., 3.]])
    """

    model_class = ConstantModel
    has_inverse = False

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the model of one point."""
        point = rows.target.mean(0)
        return Computed(ConstantModel(rows.source.shape[1], point=point), {})
