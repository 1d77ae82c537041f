"""A map on its way to other processes: packed once, unpacked once in each of them."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from joblib.externals.loky.backend.reduction import dumps

from brenier.errors import DataError
from brenier.transport.maps.bulk.orders import BulkMap
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.map import TransportMap
from brenier.transport.maps.storage import load_map, mark_of_map


@runtime_checkable
class HasMap(Protocol):
    """A fitted estimator."""

    @property
    def map_(self) -> BulkMap:
        """Its map."""
        ...


ModelLike: TypeAlias = str | Path | BulkMap | HasMap


@dataclasses.dataclass(frozen=True)
class PackedModel:
    """A map as bytes.

    Attributes:
        content: the map, for processes of this run alone.
        mark: a checksum of the map, by which runs know it again.
        features: the names of its features, or None.
    """

    content: bytes
    mark: str
    features: tuple[str, ...] | None

    def map(self) -> BulkMap:
        """Return the map."""
        return _unpacked(self.content)


def packed_model(
    model: ModelLike, device: torch.device | str | None = None
) -> PackedModel:
    """Return a model, packed.

    Args:
        model: the folder of a saved model, a fitted estimator or a map.
        device: where rows are moved; None for where the map lies, the CPU for a saved one.

    Raises:
        DataError: for what is no model, or cannot be sent to another process.
        ModelFileError: where a file of a saved model is missing, damaged or made by a newer version.
    """
    features: object = None
    if isinstance(model, str | Path):
        transport, description = load_map(model, device or "cpu")
        features = description.get("features")
    else:
        transport = model.map_ if isinstance(model, HasMap) else model
        features = getattr(model, "feature_names_in_", None)
        if not isinstance(transport, TransportMap | ConditionalMap):
            raise DataError(
                f"model: is a {type(model).__name__}; give the folder of a saved model, a fitted estimator or a map"
            )
    mark = mark_of_map(transport)
    try:
        content = bytes(dumps(transport))
        if device is not None:
            content = bytes(dumps(pickle.loads(content).to(device)))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise DataError(
            f"model: cannot be sent to other processes ({error}); save it, and give its folder"
        ) from error
    names = None if features is None else tuple(map(str, features))  # type: ignore[call-overload]
    return PackedModel(content, mark, names)


@functools.lru_cache(maxsize=1)
def _unpacked(content: bytes) -> BulkMap:
    """Return the map in some bytes."""
    transport: BulkMap = pickle.loads(content)
    return transport
