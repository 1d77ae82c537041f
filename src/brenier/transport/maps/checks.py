"""What a description may say, checked before anything is made of it: every fault is a ValueError that names the field.

A checksum only tells whether a file is as it was written. What it says may still be another program's, or made up.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from brenier.transport.coordinates import Coordinates

Json: TypeAlias = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class DescriptionLimits:
    """What is taken for a mistake.

    Attributes:
        memory: iterates or steps that a solver may be told to keep for every row; they take memory.
    """

    memory: int = 10_000


LIMITS = DescriptionLimits()


def check_real(name: str, value: object, least: float = -math.inf) -> float:
    """Return a finite number that is not below the least.

    Raises:
        ValueError: where it is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(value) and value >= least:
                return float(value)
        except OverflowError:
            pass
    above = "" if least == -math.inf else f", {least:g} or more"
    raise ValueError(f"{name}: must be a finite number{above}, is {in_short(value)}")


def check_whole(name: str, value: object, least: int = 0, most: float = 2**62) -> int:
    """Return a whole number between two bounds.

    Raises:
        ValueError: where it is none.
    """
    if type(value) is int and least <= value <= most:
        return value
    raise ValueError(
        f"{name}: must be a whole number from {least} to {most:.4g}, is {in_short(value)}"
    )


def check_is(name: str, value: object, kind: type) -> None:
    """Raise where a value is of another kind.

    Raises:
        ValueError: as told.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name}: must be a {kind.__name__}, is {in_short(value)}")


def check_described_potential(spec: object, most: int, parts: int = 1) -> int:
    """Return how many networks a potential is described as, at most as many as there are tensors.

    Args:
        spec: the description of a potential.
        most: tensors that there are; a network has no more layers.
        parts: how many potentials of this kind there are.

    Raises:
        ValueError: where a field is of another kind, or names more than there is.
    """
    check_is("potential", spec, dict)
    told = typing.cast(dict[str, Any], spec)
    if "space" in told:
        check_whole("potential: space", told["space"], 1)
    if "mean" in told:
        check_is("potential: mean", told["mean"], list)
        check_whole("potential: networks", len(told["mean"]) * parts, 1, most)
        for weight in told.get("weights") or ():
            check_real("potential: weights", weight, 0.0)
        members = (
            check_described_potential(each, most, parts) for each in told["mean"]
        )
        return sum(members)
    check_is("potential: class", told.get("class"), str)
    config = told.get("config")
    check_is("potential: config", config, dict)
    for name, value in typing.cast(dict[str, Any], config).items():
        if name in ("dim", "width", "count", "source_count", "target_count"):
            check_whole(f"potential: {name}", value, 1)
        elif name == "layers":
            check_whole("potential: layers", value, 0, most)
        elif name == "hidden":
            check_is("potential: hidden", value, list)
            check_whole("potential: layers", len(value), 1, most)
            for width in value:
                check_whole("potential: hidden", width, 1)
        elif name in ("eps", "temperature"):
            check_real(f"potential: {name}", value, 0.0)
        elif name == "convex":
            check_is("potential: convex", value, bool)
    return 1


def check_solver(config: object, defaults: object) -> None:
    """Raise where the settings of a solver are of other kinds than its defaults.

    Raises:
        ValueError: as told.
    """
    check_is("method: config", config, dict)
    for field in dataclasses.fields(typing.cast(Any, defaults)):
        value = typing.cast(dict[str, Any], config).get(field.name, field.default)
        name, default = f"method: {field.name}", field.default
        if isinstance(default, bool):
            check_is(name, value, bool)
        elif isinstance(default, int):
            check_whole(name, value, 1, LIMITS.memory)
        elif value is not None or default is not None:
            check_real(name, value, 0.0)


def check_fields(name: str, values: object, kind: type) -> None:
    """Raise where values are not those of the fields of a dataclass, by the types that these have there.

    Figures that were measured may be NaN or infinite, where rows were too few.

    Raises:
        ValueError: as told.
    """
    check_is(name, values, dict)
    hints = typing.get_type_hints(kind)
    for field, value in typing.cast(dict[str, Any], values).items():
        if field in hints and not _fits(value, hints[field]):
            raise ValueError(f"{name}: {field} cannot be {in_short(value)}")


def require_distinct(labels: Sequence[Hashable]) -> None:
    """Raise where labels are none that can be told apart.

    Raises:
        ValueError: as told.
    """
    if not labels or len(set(labels)) < len(labels):
        raise ValueError("labels: must be different from each other, and one or more")


def check_coordinates(coordinates: Coordinates) -> None:
    """Raise where coordinates hold numbers that are none, or no units.

    Raises:
        ValueError: as told.
    """
    for name, part in coordinates.tensors().items():
        require_finite(f"coordinates: {name}", part)
    if not bool((coordinates.unit > 0).all() and (coordinates.scale > 0).all()):
        raise ValueError("coordinates: units must be positive")


def require_finite(name: str, part: Tensor) -> None:
    """Raise where a tensor holds NaN or inf.

    Raises:
        ValueError: as told.
    """
    if not bool(torch.isfinite(part).all()):
        raise ValueError(f"{name}: holds NaN or inf")


def in_short(value: object) -> str:
    """Return a value as a message shows it: not all of it where it is long."""
    text = repr(value) if not isinstance(value, dict | list) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fits(value: object, hint: Any) -> bool:
    """Say whether a value is of a type; of those that JSON does not hold, everything is."""
    if isinstance(hint, types.UnionType):
        return any(_fits(value, each) for each in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        return isinstance(value, list) and (
            Ellipsis in inner
            or (len(value) == len(inner) and all(map(_fits, value, inner)))
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return type(value) is int and abs(value) < 2**62
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    return True
