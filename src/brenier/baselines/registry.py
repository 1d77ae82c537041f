"""All baselines by their short names, as tables and tests go through them, and how a saved one is found again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from brenier.baselines.learned import SavedModelBaseline
from brenier.baselines.minimax import MM, MMConvex, MMReversed
from brenier.baselines.saved import saved_estimator
from brenier.model_files import unfit

BASELINES: Mapping[str, type[SavedModelBaseline]] = {
    "mm": MM,
    "mm-reversed": MMReversed,
    "mm-convex": MMConvex,
}


def load_any(
    folder: str | Path, device: torch.device | str = "cpu"
) -> SavedModelBaseline:
    """Return the baseline saved in a folder, whatever its class.

    Args:
        folder: where it was saved.
        device: to move it to.

    Raises:
        DataError: where the folder is no path, or the device cannot be used.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    name = saved_estimator(folder)
    known = {cls.__name__: cls for cls in BASELINES.values()}
    if name not in known:
        raise unfit(folder, ValueError(f"estimator: {name!r} is not known"))
    return known[name].load(folder, device)
