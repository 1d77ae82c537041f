"""Tables larger than memory: files, folders and datasets whose rows are read when they are used.

A `Scan` knows what is in them (`scan`, `files`, `arrow`, `arrays`, `torch_data`). Fitted, it is a population whose
training draws go through all of it in blocks that are shuffled whole (`blocks`, `stream`), and whose other rows come
from a pool drawn at random from all over it (`pool`, `rows`).
"""

from brenier.datasets.scans.files import SCANNED, is_pattern
from brenier.datasets.scans.lazy import Scan
from brenier.datasets.scans.making import NUMERIC, ScanSource, scan
from brenier.datasets.scans.pool import ScanTable, table_of_scan
from brenier.datasets.scans.rows import ScanRows
from brenier.datasets.scans.settings import ScanSettings
from brenier.datasets.scans.stream import ScanStream
from brenier.datasets.scans.torch_data import is_torch_data

__all__ = [
    "NUMERIC",
    "SCANNED",
    "Scan",
    "ScanRows",
    "ScanSettings",
    "ScanSource",
    "ScanStream",
    "ScanTable",
    "is_pattern",
    "is_torch_data",
    "scan",
    "table_of_scan",
]
