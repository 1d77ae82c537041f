"""Tables of any size through a map: files in, files of the same names out, by several processes or by Dask.

Features stay float32 or float64, whole numbers become float64; other columns, the order of rows and what pandas keeps
in a file stay as they are. A column says how each row ended (`RowStatus`): "converged"; "unconverged", whose best
iterate is written; "invalid", with NaN, inf or nothing, or beyond the precision of the network, which is left empty;
"unknown", of a class that the model does not know, which stays as it is. An array has no column for that: the status
of the rows of x.npy goes to x.npy.status, as int8, for `numpy.load`.

With several workers one process moves a file; one that is large beside all others is read and written by the process
that was asked, and its blocks are moved by all workers. What is finished is recorded in the folder `_brenier` in the
folder that is written, with the model and the orders: files that have not changed are skipped when the same is asked
for again, and other orders are refused.
"""

from brenier.transport.maps.bulk.files import FileCounts
from brenier.transport.maps.bulk.orders import (
    INVALID_ROWS,
    STATUS_NAMES,
    RowStatus,
)
from brenier.transport.maps.bulk.pool import WorkerLostError
from brenier.transport.maps.bulk.run import ENGINES, BulkReport, transform
from brenier.transport.maps.bulk.sources import BULK_KINDS

__all__ = [
    "BULK_KINDS",
    "ENGINES",
    "INVALID_ROWS",
    "STATUS_NAMES",
    "BulkReport",
    "FileCounts",
    "RowStatus",
    "WorkerLostError",
    "transform",
]
