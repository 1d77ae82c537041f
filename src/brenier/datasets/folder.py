"""Where data sets that are not part of this library lie: a folder that is given, or one the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from brenier.errors import DataError

FOLDER_VARIABLE = "BRENIER_DATA"


def data_folder(folder: str | Path | None, holds: str, origin: str) -> Path:
    """Return the folder given, or else the one named by the environment variable BRENIER_DATA.

    Args:
        folder: as given, or None.
        holds: what is looked for in it, for the message.
        origin: where a user finds that, for the message.

    Raises:
        DataError: where there is neither.
    """
    named = folder if folder is not None else os.environ.get(FOLDER_VARIABLE)
    if not named:
        raise DataError(
            f"folder: is not given and {FOLDER_VARIABLE} is not set; set it to the folder that holds {holds}: {origin}"
        )
    return Path(named)
