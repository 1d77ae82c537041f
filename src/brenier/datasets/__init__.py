"""What samples are, and where they come from.

Tables, labels and covariates of any kind are checked and become tensors (`containers`, `conditions`); batches come from
rows in memory, files larger than memory or endless samplers (`populations`); files are read and written (`files`,
`tables`, `images`); and there are pairs of laws whose optimal maps are known (`pairs`).
"""

from brenier.datasets.cells import is_number
from brenier.datasets.conditions import (
    LabelsLike,
    alike_as_text,
    grouped,
    is_missing,
    is_single,
    label_text,
    labels_named,
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
from brenier.datasets.dialects import UNTOLD, CsvLayout, Dialect, GivenDialect
from brenier.datasets.files import (
    ARRAYS,
    TABLES,
    Samples,
    read_samples,
    write_samples,
)
from brenier.datasets.images import image_set
from brenier.datasets.numeric import names_of
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
from brenier.datasets.tables import (
    TableFile,
    label_column_of,
    open_table,
    read_csv_rows,
)
from brenier.datasets.text_files import kind_of, open_binary

__all__ = [
    "ARRAYS",
    "NEUTRAL",
    "RINGS",
    "TABLES",
    "UNTOLD",
    "CheckedSamples",
    "CovariateGaussians",
    "CsvLayout",
    "Dialect",
    "Frame",
    "GivenDialect",
    "LabelsLike",
    "Pair",
    "Population",
    "Rows",
    "Sampler",
    "Samples",
    "Split",
    "SplitSettings",
    "TableFile",
    "TableLike",
    "alike_as_text",
    "check_finite",
    "clusters_pair",
    "gaussian_classes",
    "gaussian_pair",
    "grouped",
    "image_set",
    "is_mapped",
    "is_missing",
    "is_number",
    "is_single",
    "kind_of",
    "label_column_of",
    "label_text",
    "labelled",
    "labels_named",
    "listed",
    "logsumexp_pair",
    "manifold_pair",
    "mixture_pair",
    "names_of",
    "open_binary",
    "open_table",
    "population",
    "radial_pair",
    "read",
    "read_covariates",
    "read_csv_rows",
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
