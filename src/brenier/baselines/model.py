"""What a fitted baseline is: a model of a map in coordinates of its own, and the frame that leads to them and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class MapFrame:
    """Coordinates of both sides, feature by feature: those of a row are (row - centre) / scale.

    Attributes:
        source_centre, source_scale: (d,), of the source, float64.
        target_centre, target_scale: (d,), of the target, float64.
    """

    source_centre: Tensor
    source_scale: Tensor
    target_centre: Tensor
    target_scale: Tensor

    @classmethod
    def of_data(cls, dim: int, device: torch.device) -> MapFrame:
        """Return the frame that leaves rows of d features as they are."""
        zero = torch.zeros(dim, dtype=torch.float64, device=device)
        return cls(zero, zero + 1, zero, zero + 1)

    @classmethod
    def common(cls, x: Tensor, z: Tensor) -> MapFrame:
        """Return the frame in which both sides have mean zero, and features variance one on average.

        One scale for all features of both sides leaves the map that is optimal for the squared distance the same.

        Args:
            x, z: rows (n, d), (m, d) of the source and the target.
        """
        x, z = x.double(), z.double()
        of_x, of_z = x.mean(0), z.mean(0)
        spread = torch.cat([x - of_x, z - of_z]).square().mean().sqrt()
        # Where nothing varies any unit will do: that of the shift, or one.
        unit = float(spread) or float((of_z - of_x).abs().max()) or 1.0
        scale = torch.full_like(of_x, unit)
        return cls(of_x, scale, of_z, scale)

    @classmethod
    def standard(cls, x: Tensor, z: Tensor) -> MapFrame:
        """Return the frame in which every feature of either side has mean zero and variance one.

        Args:
            x, z: rows (n, d), (m, d) of the source and the target.
        """
        parts = []
        for rows in (x.double(), z.double()):
            spread = rows.std(0)
            parts += [rows.mean(0), torch.where(spread > 0, spread, 1.0)]
        return cls(*parts)

    def from_source(self, x: Tensor) -> Tensor:
        """Return the coordinates of source rows: (n, d) -> (n, d)."""
        return (x - self.source_centre) / self.source_scale

    def from_target(self, z: Tensor) -> Tensor:
        """Return the coordinates of target rows: (n, d) -> (n, d)."""
        return (z - self.target_centre) / self.target_scale

    def to_source(self, u: Tensor) -> Tensor:
        """Return the source rows of coordinates (n, d), float64."""
        return u.double() * self.source_scale + self.source_centre

    def to_target(self, w: Tensor) -> Tensor:
        """Return the target rows of coordinates (n, d), float64."""
        return w.double() * self.target_scale + self.target_centre

    def check(self) -> None:
        """Raise a DataError where the numbers of either side overflow."""
        parts = self.tensors().values()
        fine = all(bool(part.isfinite().all()) for part in parts)
        if not fine or not bool((self.source_scale * self.target_scale > 0).all()):
            raise DataError(
                "X, Y: hold numbers so large, or so far apart, that their coordinates overflow; give them in other "
                "units, or leave out extreme rows",
                argument="X, Y",
            )

    def tensors(self) -> dict[str, Tensor]:
        """Return its parts by name."""
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }

    def to(self, device: torch.device) -> MapFrame:
        """Return the frame on a device."""
        return MapFrame(
            **{name: part.to(device) for name, part in self.tensors().items()}
        )


class MapModel(nn.Module):
    """A model of a map in the coordinates of a frame; what a method learns or computes.

    A subclass takes its sizes as arguments, which `config` gives back, and keeps all else in parameters and buffers:
    so it is saved and loaded by these alone.

    Attributes:
        dim: d.
    """

    dim: int

    def moved(self, x: Tensor) -> Tensor:
        """Return the forward map of rows: (n, d) -> (n, d)."""
        raise NotImplementedError

    def returned(self, z: Tensor) -> Tensor:
        """Return the inverse map of rows: (n, d) -> (n, d), where the method has one."""
        raise NotImplementedError

    def constrain(self) -> None:
        """Put the weights back to where the method wants them, after every step of training."""

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        raise NotImplementedError


class ModelMap:
    """A fitted map in the units of the data.

    Args:
        model: of the map, in the coordinates of the frame.
        frame: the coordinates.
    """

    def __init__(self, model: MapModel, frame: MapFrame) -> None:
        self.model = model.eval().requires_grad_(False)
        like = next(iter(model.state_dict().values()), frame.source_scale)
        self.device = like.device
        self.dtype = like.dtype if like.is_floating_point() else torch.float64
        self.frame, self.dim = frame.to(self.device), model.dim

    @property
    def parameters(self) -> int:
        """How many numbers it stores, beside the frame."""
        return sum(part.numel() for part in self.model.state_dict().values())

    def forward(self, x: Tensor) -> Tensor:
        """Return T(x): (n, d) -> (n, d), float64."""
        rows = self.frame.from_source(x).to(self.dtype)
        return self.frame.to_target(self.model.moved(rows))

    def backward(self, z: Tensor) -> Tensor:
        """Return T^{-1}(z): (n, d) -> (n, d), float64."""
        rows = self.frame.from_target(z).to(self.dtype)
        return self.frame.to_source(self.model.returned(rows))


def map_tensors(fitted: ModelMap) -> Mapping[str, Tensor]:
    """Return the tensors of a map by their names in the file."""
    # Two names may share memory, which safetensors would refuse.
    model = {f"model.{k}": v for k, v in fitted.model.state_dict().items()}
    frame = {f"frame.{k}": v.clone() for k, v in fitted.frame.tensors().items()}
    return {**model, **frame}
