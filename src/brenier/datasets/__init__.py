"""Samples to learn from: pairs of laws with known optimal maps, and files."""

from brenier.datasets.benchmark import w2hd_pair
from brenier.datasets.files import Samples, read_samples, write_samples
from brenier.datasets.synthetic import (
    Pair,
    gaussian_pair,
    radial_pair,
    scaling_pair,
    separable_pair,
    translation_pair,
)

__all__ = [
    "Pair",
    "Samples",
    "gaussian_pair",
    "radial_pair",
    "read_samples",
    "scaling_pair",
    "separable_pair",
    "translation_pair",
    "w2hd_pair",
    "write_samples",
]
