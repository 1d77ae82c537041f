"""Pairs of laws to measure maps against, most of them with a known optimal map.

Closed forms in any dimension (`synthetic`), maps outside the family of this library's potentials (`neutral`,
`clusters`), the published high-dimensional benchmark (`benchmark`), and pairs given a condition (`conditioned`). Each
is a `Pair`, or a `Pair` per class: a source to sample, the optimal map, its inverse where known, and both variances.
Shapes in the plane (`shapes`) have no known map: a `ShapePair` is a source and a target to sample.
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
    "CovariateGaussians",
    "Pair",
    "ShapePair",
    "clusters_pair",
    "gaussian_classes",
    "gaussian_pair",
    "labelled",
    "logsumexp_pair",
    "manifold_pair",
    "mixture_pair",
    "radial_pair",
    "ring_classes",
    "scaling_pair",
    "separable_pair",
    "tails_pair",
    "translation_pair",
    "w2hd_pair",
]
