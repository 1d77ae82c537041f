"""The support of a map in words that JSON can hold, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from brenier.statistics import Exceedance
from brenier.transport.maps.checks import Json
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.map import TransportMap
from brenier.transport.maps.support import ALL_CLASSES, Support

LISTS = ("scores", "at_least", "greater")  # of an `Exceedance`


def support_to_json(transport: TransportMap | ConditionalMap) -> dict[str, object]:
    """Return where the source of a map lies, by the numbers of classes; nothing where that is not known."""
    if isinstance(transport, ConditionalMap):
        known = transport.fitted_supports
    else:
        one = transport.fitted_support
        known = {} if one is None else {ALL_CLASSES: one}
    if not known:
        return {}
    return {"support": {str(k): _to_json(found) for k, found in known.items()}}


def supports_from_json(description: Json, dim: int) -> dict[int, Support]:
    """Return what `support_to_json` made, for a map of so many features; nothing of a model without.

    Raises:
        ValueError: for what cannot be.
    """
    held = description.get("support", {})
    found = {int(key): _from_json(part, dim) for key, part in held.items()}
    if found and ALL_CLASSES not in found:
        raise ValueError("support: that of all rows is missing")
    return found


def _to_json(found: Support) -> dict[str, object]:
    return {
        "centre": found.centre.tolist(),
        "scale": found.scale.tolist(),
        "radii": _scores_to_json(found.radii),
        "gaps": None if found.gaps is None else _scores_to_json(found.gaps),
    }


def _from_json(held: Json, dim: int) -> Support:
    centre, scale = (_finite_numbers(held[name], name) for name in ("centre", "scale"))
    if len(centre) != dim or len(scale) != dim or not bool((scale > 0).all()):
        raise ValueError("support: centre and scale must have one number a feature")
    gaps = None if held["gaps"] is None else _scores_from_json(held["gaps"])
    return Support(centre, scale, _scores_from_json(held["radii"]), gaps)


def _scores_to_json(found: Exceedance) -> dict[str, object]:
    lists = {name: getattr(found, name).tolist() for name in LISTS}
    gamma = found.gamma if math.isfinite(found.gamma) else None
    return {**lists, "rows": found.rows, "gamma": gamma}


def _scores_from_json(held: Json) -> Exceedance:
    parts = {name: _finite_numbers(held[name], name) for name in LISTS}
    scores = parts["scores"]
    alike = {len(part) for part in parts.values()} == {len(scores)}
    if not (alike and len(scores) and bool((scores.diff() > 0).all())):
        raise ValueError("support: scores must rise, and have two shares each")
    gamma = math.inf if held["gamma"] is None else float(held["gamma"])
    rows = float(held["rows"])
    if not (rows >= 1 and gamma > 0):
        raise ValueError("support: rows and gamma must be positive")
    return Exceedance(**parts, rows=rows, gamma=gamma)


def _finite_numbers(values: Iterable[float], name: str) -> Tensor:
    """Return finite numbers as a tensor.

    Raises:
        ValueError: where they are none.
    """
    found = torch.tensor(list(values), dtype=torch.float64)
    if found.ndim != 1 or not bool(found.isfinite().all()):
        raise ValueError(f"support: {name} must be finite numbers")
    return found
