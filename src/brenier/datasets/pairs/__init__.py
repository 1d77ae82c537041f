"""Pairs of laws to measure maps against, most of them with a known optimal map.

Closed forms in any dimension (`synthetic`), maps outside the family of this library's potentials (`neutral`,
`clusters`), maps that are optimal for other costs (`costs`) or between laws of unequal mass (`masses`), the published
high-dimensional benchmark (`benchmark`), and pairs given a condition (`conditioned`). Each is a `Pair`, or a `Pair` per
class: a source to sample, the optimal map, its inverse where known, and both variances. Shapes in the plane (`shapes`)
have no known map: a `ShapePair` is a source and a target to sample.
"""

from brenier.datasets.pairs.benchmark import w2hd_pair
from brenier.datasets.pairs.clusters import clusters_pair
from brenier.datasets.pairs.conditioned import (
    RINGS,
    CovariateGaussians,
    gaussian_classes,
    labelled,
    ring_classes,
)
from brenier.datasets.pairs.costs import (
    CostPair,
    convex_cost_pair,
    coordinatewise_pair,
    monotone_pair,
    power_radial_pair,
    sparse_pair,
)
from brenier.datasets.pairs.masses import (
    OutlierPair,
    UnbalancedPair,
    outlier_pair,
    unbalanced_pair,
)
from brenier.datasets.pairs.neutral import (
    NEUTRAL,
    logsumexp_pair,
    manifold_pair,
    mixture_pair,
    tails_pair,
)
from brenier.datasets.pairs.shapes import SHAPES, ShapePair
from brenier.datasets.pairs.synthetic import (
    Pair,
    gaussian_pair,
    radial_pair,
    scaling_pair,
    separable_pair,
    translation_pair,
)

__all__ = [
    "NEUTRAL",
    "RINGS",
    "SHAPES",
    "CostPair",
    "CovariateGaussians",
    "OutlierPair",
    "Pair",
    "ShapePair",
    "UnbalancedPair",
    "clusters_pair",
    "convex_cost_pair",
    "coordinatewise_pair",
    "gaussian_classes",
    "gaussian_pair",
    "labelled",
    "logsumexp_pair",
    "manifold_pair",
    "mixture_pair",
    "monotone_pair",
    "outlier_pair",
    "power_radial_pair",
    "radial_pair",
    "ring_classes",
    "scaling_pair",
    "separable_pair",
    "sparse_pair",
    "tails_pair",
    "translation_pair",
    "unbalanced_pair",
    "w2hd_pair",
]
