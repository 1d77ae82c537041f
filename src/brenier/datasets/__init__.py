"""Samples to learn from: pairs of laws with known optimal maps, and files."""

from brenier.datasets.benchmark import w2hd_pair
from brenier.datasets.conditional import RINGS, CovariateGaussians, gaussian_classes, labelled, ring_classes
from brenier.datasets.files import Samples, read_samples, write_samples
from brenier.datasets.images import image_set
from brenier.datasets.neutral import (
    NEUTRAL,
    clusters_pair,
    logsumexp_pair,
    manifold_pair,
    mixture_pair,
    tails_pair,
)
from brenier.datasets.synthetic import (
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
    "CovariateGaussians",
    "Pair",
    "Samples",
    "clusters_pair",
    "gaussian_classes",
    "gaussian_pair",
    "image_set",
    "labelled",
    "logsumexp_pair",
    "manifold_pair",
    "mixture_pair",
    "radial_pair",
    "read_samples",
    "ring_classes",
    "scaling_pair",
    "separable_pair",
    "tails_pair",
    "translation_pair",
    "w2hd_pair",
    "write_samples",
]
