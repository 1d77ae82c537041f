"""Samples to learn from: pairs of laws with known optimal maps, and files."""

from brenier.datasets.conditions import (
    LabelsLike,
    grouped,
    is_single,
    listed,
    read_covariates,
    read_labels,
)
from brenier.datasets.containers import (
    CheckedSamples,
    Frame,
    TableLike,
    check_finite,
    is_mapped,
    read,
)
from brenier.datasets.files import (
    ARRAYS,
    TABLES,
    Samples,
    read_frame,
    read_samples,
    write_samples,
)
from brenier.datasets.images import image_set
from brenier.datasets.pairs.benchmark import w2hd_pair
from brenier.datasets.pairs.conditioned import (
    RINGS,
    CovariateGaussians,
    gaussian_classes,
    labelled,
    ring_classes,
)
from brenier.datasets.pairs.neutral import (
    NEUTRAL,
    clusters_pair,
    logsumexp_pair,
    manifold_pair,
    mixture_pair,
    tails_pair,
)
from brenier.datasets.pairs.synthetic import (
    Pair,
    gaussian_pair,
    radial_pair,
    scaling_pair,
    separable_pair,
    translation_pair,
)
from brenier.datasets.populations import (
    HELD_OUT,
    ONE_IN,
    Population,
    Rows,
    Split,
    population,
)

__all__ = [
    "ARRAYS",
    "HELD_OUT",
    "NEUTRAL",
    "ONE_IN",
    "RINGS",
    "TABLES",
    "CheckedSamples",
    "CovariateGaussians",
    "Frame",
    "LabelsLike",
    "Pair",
    "Population",
    "Rows",
    "Samples",
    "Split",
    "TableLike",
    "check_finite",
    "clusters_pair",
    "gaussian_classes",
    "gaussian_pair",
    "grouped",
    "image_set",
    "is_mapped",
    "is_single",
    "labelled",
    "listed",
    "logsumexp_pair",
    "manifold_pair",
    "mixture_pair",
    "population",
    "radial_pair",
    "read",
    "read_covariates",
    "read_frame",
    "read_labels",
    "read_samples",
    "ring_classes",
    "scaling_pair",
    "separable_pair",
    "tails_pair",
    "translation_pair",
    "w2hd_pair",
    "write_samples",
]
