"""Potentials: one network from which every map comes; coercive for every parameter value."""

from brenier.potentials.base import Potential, rows_at_once
from brenier.potentials.conditional import Conditional, ConditionedPotential
from brenier.potentials.icnn import DenseICNN, widths
from brenier.potentials.mean import MeanPotential
from brenier.potentials.quadratic import Quadratic
from brenier.potentials.residual import ResidualPotential

KNOWN: dict[str, type[Potential]] = {
    cls.__name__: cls for cls in (DenseICNN, Quadratic, ResidualPotential)
}

__all__ = [
    "KNOWN",
    "Conditional",
    "ConditionedPotential",
    "DenseICNN",
    "MeanPotential",
    "Potential",
    "Quadratic",
    "ResidualPotential",
    "rows_at_once",
    "widths",
]
