"""Potentials: networks g: R^d -> R, from whose gradient every map comes.

Each gives its value, its gradient and Hessian products, and is coercive for every parameter value (see `base`), so
that the inverse map exists. `DenseICNN` is the default; `Conditional` and `MeanPotential` are made of other potentials.
"""

from brenier.potentials.base import Potential, rows_at_once
from brenier.potentials.conditional import Conditional, ConditionedPotential
from brenier.potentials.entropic import EntropicPotential
from brenier.potentials.icnn import DenseICNN, widths
from brenier.potentials.max_affine import MaxAffine
from brenier.potentials.mean import MeanPotential
from brenier.potentials.modes import UsualType, usual_modes
from brenier.potentials.quadratic import Quadratic
from brenier.potentials.residual import ResidualPotential

KNOWN: dict[str, type[Potential]] = {
    cls.__name__: cls
    for cls in (DenseICNN, EntropicPotential, MaxAffine, Quadratic, ResidualPotential)
}

__all__ = [
    "KNOWN",
    "Conditional",
    "ConditionedPotential",
    "DenseICNN",
    "EntropicPotential",
    "MaxAffine",
    "MeanPotential",
    "Potential",
    "Quadratic",
    "ResidualPotential",
    "UsualType",
    "rows_at_once",
    "usual_modes",
    "widths",
]
