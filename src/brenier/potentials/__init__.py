"""Potentials: one network from which every map comes; coercive for every parameter value."""

from brenier.potentials.base import Potential
from brenier.potentials.conditional import Conditional, Given
from brenier.potentials.icnn import DenseICNN
from brenier.potentials.mean import Mean
from brenier.potentials.quadratic import Quadratic
from brenier.potentials.residual import ResidualPotential

# Classes a saved model can be rebuilt from, by name.
KNOWN: dict[str, type[Potential]] = {cls.__name__: cls for cls in (DenseICNN, Quadratic, ResidualPotential)}

__all__ = ["KNOWN", "Conditional", "DenseICNN", "Given", "Mean", "Potential", "Quadratic", "ResidualPotential"]
