"""Tables of any size through a map: files in, files of the same names out, by several processes or by Dask."""

from brenier.transport.maps.bulk.files import FileCounts
from brenier.transport.maps.bulk.orders import (
    INVALID_ROWS,
    STATUS_NAMES,
    RowStatus,
)
from brenier.transport.maps.bulk.pool import WorkerLostError
from brenier.transport.maps.bulk.run import ENGINES, BulkReport, transform
from brenier.transport.maps.bulk.sources import BULK_KINDS, is_pattern

__all__ = [
    "BULK_KINDS",
    "ENGINES",
    "INVALID_ROWS",
    "STATUS_NAMES",
    "BulkReport",
    "FileCounts",
    "RowStatus",
    "WorkerLostError",
    "is_pattern",
    "transform",
]
