"""A run on disk: written whole at every evaluation, so that one killed at any moment can be picked up.

A resumed run draws the same batches and takes the same steps as one never stopped; on a CPU its weights are the same to
the bit (unless it is limited by time). The file belongs to one data set, one group of settings and one version of this
library; others are refused.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brenier.atomic import write_with
from brenier.errors import ModelFileError
from brenier.training.run import Run

FILE = "run.pt"


def library_version() -> str:
    """Return the version of this library, "unknown" where it runs without having been installed."""
    try:
        return importlib.metadata.version("brenier")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def save_run(folder: str | Path, run: Run[Any], fingerprint: str, seed: int) -> None:
    """Write a run whole or not at all."""
    state = {
        "version": library_version(),
        "fingerprint": fingerprint,
        "seed": seed,
        "run": run.state_dict(),
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_with(Path(folder) / FILE, lambda path: torch.save(state, path))


def read_run(folder: str | Path) -> dict[str, Any] | None:
    """Return the state of the unfinished run in a folder, or None where there is none.

    Raises:
        ModelFileError: where the file is damaged, or written by another version of this library.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        found = {
            "fingerprint": state["fingerprint"],
            "seed": int(state["seed"]),
            "run": state["run"],
        }
        version = state.get("version", "0.1")
    except (
        OSError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        fault = type(error).__name__  # what torch says is about other files
        raise ModelFileError(
            f"{path}: is damaged or no unfinished run ({fault}); delete it to start anew"
        ) from error
    if version != library_version():
        raise ModelFileError(
            f"{path}: the unfinished run there was started by brenier {version}, this is {library_version()}; "
            "resume it with that version, or delete the file to start anew"
        )
    return found


def resumed_seed(state: dict[str, Any], given: int | None, folder: str | Path) -> int:
    """Return the seed a run was started with.

    Raises:
        ModelFileError: where another one is given.
    """
    if given is not None and given != state["seed"]:
        raise ModelFileError(
            f"{Path(folder) / FILE}: the unfinished run there was started with another `random_state`; "
            "give that again to resume it, or delete the file to start anew"
        )
    return int(state["seed"])


def restore_run(
    state: dict[str, Any], run: Run[Any], fingerprint: str, folder: str | Path
) -> None:
    """Put a run back where it was.

    Raises:
        ModelFileError: where the file belongs to other samples or settings.
    """
    path = Path(folder) / FILE
    if state["fingerprint"] != fingerprint:
        raise ModelFileError(
            f"{path}: the unfinished run there was started with other samples or settings; "
            "give those again to resume it, or delete the file to start anew"
        )
    try:
        run.load_state_dict(state["run"])
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        fault = " ".join(str(error).split())
        raise ModelFileError(
            f"{path}: the parts of the run do not fit ({fault}); delete it to start anew"
        ) from error


def remove_run(folder: str | Path) -> None:
    """Delete the run file, once the run has ended."""
    (Path(folder) / FILE).unlink(missing_ok=True)


def fingerprint(settings: str, *tensors: Tensor) -> str:
    """Return a checksum of settings and of some samples, to recognise a run by."""
    digest = hashlib.sha256(settings.encode())
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
