"""What samples are, and where they come from.

Tables, labels and covariates of any kind are checked and become tensors (`containers`, `conditions`); batches come from
rows in memory, files larger than memory or endless samplers (`populations`); files are read and written (`files`,
`tables`, `images`); and there are pairs of laws whose optimal maps are known (`pairs`).
"""

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
    read_samples,
    write_samples,
)
from brenier.datasets.images import image_set
from brenier.datasets.pairs import (
    NEUTRAL,
    RINGS,
    CovariateGaussians,
    Pair,
    clusters_pair,
    gaussian_classes,
    gaussian_pair,
    labelled,
    logsumexp_pair,
    manifold_pair,
    mixture_pair,
    radial_pair,
    ring_classes,
    scaling_pair,
    separable_pair,
    tails_pair,
    translation_pair,
    w2hd_pair,
)
from brenier.datasets.populations import (
    Population,
    Rows,
    Sampler,
    Split,
    SplitSettings,
    population,
)
from brenier.datasets.tables import read_frame

__all__ = [
    "ARRAYS",
    "NEUTRAL",
    "RINGS",
    "TABLES",
    "CheckedSamples",
    "CovariateGaussians",
    "Frame",
    "LabelsLike",
    "Pair",
    "Population",
    "Rows",
    "Sampler",
    "Samples",
    "Split",
    "SplitSettings",
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
