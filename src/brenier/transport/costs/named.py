"""Costs by name, as the command line and saved models know them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brenier.errors import DataError
from brenier.transport.costs.base import Cost, KnownCost
from brenier.transport.costs.known import Elastic, LogCosh, Power, SeparablePower
from brenier.transport.costs.quadratic import Mahalanobis, SquaredEuclidean

# Every cost, and the arguments that make it.
COSTS: dict[str, tuple[type[KnownCost], tuple[str, ...]]] = {
    "squared_euclidean": (SquaredEuclidean, ()),
    "mahalanobis": (Mahalanobis, ("matrix",)),
    "power": (Power, ("p",)),
    "separable_power": (SeparablePower, ("p",)),
    "elastic": (Elastic, ("sparsity",)),
    "log_cosh": (LogCosh, ("scale",)),
}


def cost_named(name: str, **arguments: object) -> KnownCost:
    """Return the cost of a name, with these arguments.

    Raises:
        DataError: where the name is unknown, or an argument is missing, unknown or cannot be used.

    >>> cost_named("power", p=1.5)
    Power(p=1.5)
    """
    if name not in COSTS:
        raise DataError(
            f"cost: {name!r} is not known; choose one of {', '.join(COSTS)}, or give an object (see `brenier.Cost`)"
        )
    kind, known = COSTS[name]
    optional = {"scale"}
    odd = sorted(arguments.keys() - set(known))
    if odd:
        takes = " and ".join(known) or "no parameter"
        raise DataError(f"{odd[0]}: cost {name!r} takes {takes}; leave it out")
    missing = sorted(set(known) - optional - arguments.keys())
    if missing:
        raise DataError(f"{missing[0]}: cost {name!r} needs it; give {missing[0]}")
    return kind(**arguments)


def cost_to_json(cost: Cost) -> dict[str, Any]:
    """Return a cost as JSON can hold it.

    Raises:
        DataError: where it is none of this library.
    """
    for name, (kind, arguments) in COSTS.items():
        if type(cost) is kind:
            return {"name": name, **{each: _plain(cost, each) for each in arguments}}
    raise DataError(
        f"cost: {type(cost).__name__} is a cost of your own, which a saved model cannot hold; keep the estimator in "
        "memory, or use one of the library's",
        argument="cost",
    )


def cost_from_json(told: Mapping[str, object]) -> KnownCost:
    """Return the cost that `cost_to_json` told of.

    Raises:
        DataError: where it cannot be.
    """
    arguments = dict(told)
    return cost_named(str(arguments.pop("name", None)), **arguments)


def _plain(cost: Cost, name: str) -> object:
    value = getattr(cost, name)
    return value.tolist() if hasattr(value, "tolist") else float(value)
