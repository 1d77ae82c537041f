"""Costs c(x, z) = h(z - x): what is known of h, and how users give their own."""

from brenier.transport.costs.base import (
    Cost,
    CostFacts,
    KnownCost,
    conjugate_value,
    pairwise_cost,
)
from brenier.transport.costs.check import CostCheck, check_cost, is_of_library
from brenier.transport.costs.known import Elastic, LogCosh, Power, SeparablePower
from brenier.transport.costs.named import (
    COSTS,
    cost_from_json,
    cost_named,
    cost_to_json,
)
from brenier.transport.costs.quadratic import Mahalanobis, SquaredEuclidean
from brenier.transport.costs.scaled import ScaledCost

__all__ = [
    "COSTS",
    "Cost",
    "CostCheck",
    "CostFacts",
    "Elastic",
    "KnownCost",
    "LogCosh",
    "Mahalanobis",
    "Power",
    "ScaledCost",
    "SeparablePower",
    "SquaredEuclidean",
    "check_cost",
    "conjugate_value",
    "cost_from_json",
    "cost_named",
    "cost_to_json",
    "is_of_library",
    "pairwise_cost",
]
