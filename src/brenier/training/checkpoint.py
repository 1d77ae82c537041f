"""A run on disk: written whole at every evaluation, so that one killed at any moment can be picked up.

A resumed run draws the same batches and takes the same steps as one never stopped; on a CPU its weights are the same to
the bit (unless it is limited by time). The file belongs to one data set, one group of settings and one version of this
library, and ends with a checksum of all that is before; others and damaged ones are refused.

A run that has ended and whose result was given back is *finished*: its file has another name. It is kept until the
result is on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import os
import re
import stat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brenier.atomic import remove_stale, write_bytes
from brenier.errors import ModelFileError
from brenier.training.run import COUNTERS, Run

FILE = "run.pt"
FINISHED = re.compile(r"finished-[0-9a-f]{16}\.pt")
SEAL = b"\nbrenier: sha256 of what is above\n"  # and the 32 bytes of it


def library_version() -> str:
    """Return the version of this library, "unknown" where it runs without having been installed."""
    try:
        return importlib.metadata.version("brenier")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def save_run(folder: str | Path, run: Run[Any], fingerprint: str, seed: int) -> None:
    """Write a run whole or not at all.

    Raises:
        OSError: where the file cannot be written; it names the file.
    """
    state = {
        "version": library_version(),
        "fingerprint": fingerprint,
        "seed": seed,
        "run": run.state_dict(),
    }
    content = io.BytesIO()
    torch.save(state, content)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_bytes(Path(folder) / FILE, sealed(content.getvalue()))


def sealed(content: bytes) -> bytes:
    """Return the content of a run file, its checksum at the end."""
    return content + SEAL + hashlib.sha256(content).digest()


def run_file(folder: str | Path) -> Path | None:
    """Return the file of the run in a folder, an unfinished one before a finished one, or None where there is none."""
    path = Path(folder) / FILE
    return path if os.path.lexists(path) else next(iter(_finished_files(folder)), None)


def is_finished(path: Path) -> bool:
    """Say whether a run file is that of a finished run."""
    return FINISHED.fullmatch(path.name) is not None


def read_run(folder: str | Path) -> dict[str, Any] | None:
    """Return the state of the run in a folder, unfinished or finished, or None where there is none.

    Raises:
        ModelFileError: where the file is damaged, or written by another version of this library.
    """
    path = run_file(folder)
    if path is None:
        return None
    content = _content(path)
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        found = {
            "fingerprint": str(state["fingerprint"]),
            "seed": int(state["seed"]),
            "run": state["run"],
        }
        version = state.get("version", "0.1")
    except Exception as error:  # whatever a damaged pickle leads to
        raise _damaged(path, type(error).__name__) from error
    if version != library_version():
        raise _of_version(path, version)
    _check_counters(path, found["run"])
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
    path = run_file(folder) or Path(folder) / FILE
    if state["fingerprint"] != fingerprint:
        raise ModelFileError(
            f"{path}: the unfinished run there was started with other samples or settings; "
            "give those again to resume it, or delete the file to start anew"
        )
    try:
        run.load_state_dict(state["run"])
    except Exception as error:  # whatever parts that do not fit lead to
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelFileError(
            f"{path}: the parts of the run do not fit ({fault}); delete it to start anew"
        ) from error


def finish_run(folder: str | Path, fingerprint: str, seed: int) -> Path | None:
    """Give the file of a run that has ended the name of a finished one; return it, or None where none was written.

    Finished runs of earlier fits are removed, and what killed processes left in the folder.
    """
    key = hashlib.sha256(f"{fingerprint} {seed}".encode()).hexdigest()[:16]
    path = Path(folder) / f"finished-{key}.pt"
    with contextlib.suppress(OSError):  # there may be none, the disk being full
        os.replace(Path(folder) / FILE, path)
    remove_stale(folder)
    for other in _finished_files(folder):
        if other != path:
            _remove(other)
    return path if path.exists() else None


def reopen_run(folder: str | Path) -> None:
    """Take a finished run for an unfinished one, which is resumed, or refused for other samples or settings.

    Raises:
        OSError: where the file cannot be renamed.
    """
    path = run_file(folder)
    if path is not None and is_finished(path):
        os.replace(path, Path(folder) / FILE)


def remove_run(folder: str | Path) -> None:
    """Delete the files of runs in a folder, unfinished or finished, and what killed processes left there."""
    (Path(folder) / FILE).unlink(missing_ok=True)
    for path in _finished_files(folder):
        path.unlink(missing_ok=True)
    remove_stale(folder)


def remove_finished(path: Path | None) -> None:
    """Delete the file of a finished run, whose result is needed no more; nothing where there is none."""
    if path is not None:
        _remove(path)


def fingerprint(settings: str, *tensors: Tensor) -> str:
    """Return a checksum of settings and of some samples, to recognise a run by."""
    digest = hashlib.sha256(settings.encode())
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _finished_files(folder: str | Path) -> list[Path]:
    """Return the files of finished runs in a folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [Path(folder) / name for name in names if FINISHED.fullmatch(name)]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _content(path: Path) -> bytes:
    """Return what is before the checksum of a run file, verified before any of it is interpreted.

    Raises:
        ModelFileError: where it cannot be read, is no regular file, or its checksum is missing or differs.
    """
    length = len(SEAL) + hashlib.sha256().digest_size
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
            raise _damaged(path, "it is no regular file")
        with path.open("rb") as file:
            before = max(0, file.seek(0, os.SEEK_END) - length)
            file.seek(before)
            seal = file.read(length)
            if not seal.startswith(SEAL):
                raise _unsealed(path)
            file.seek(0)
            content = file.read(before)
    except (OSError, MemoryError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    if hashlib.sha256(content).digest() != seal[len(SEAL) :]:
        raise _damaged(path, "its checksum differs")
    return content


def _unsealed(path: Path) -> ModelFileError:
    """Return the error for a run file without a checksum: it is damaged, or of an earlier version."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                return _damaged(path, "its checksum is missing")
        state = torch.load(path, weights_only=True, map_location="meta")
        version = state.get("version", "0.1") if state["run"] else library_version()
    except Exception as error:
        return _damaged(path, type(error).__name__)
    if version == library_version():
        return _damaged(path, "its checksum is missing")
    return _of_version(path, version)


def _check_counters(path: Path, state: dict[str, Any]) -> None:
    """Raise where what tells how far a run has come is missing or of another kind."""
    try:
        counters = {name: state["counters"][name] for name in COUNTERS}
        right = isinstance(counters.pop("finished"), str) and all(
            isinstance(value, int | float) and 0 <= value < float("inf")
            for value in counters.values()
        )
    except (LookupError, TypeError) as error:
        raise _damaged(path, type(error).__name__) from error
    if not right:
        raise _damaged(path, "its counters are no numbers")


def _damaged(path: Path, fault: str) -> ModelFileError:
    return ModelFileError(
        f"{path}: is damaged or no unfinished run ({fault}); delete it to start anew"
    )


def _of_version(path: Path, version: object) -> ModelFileError:
    return ModelFileError(
        f"{path}: the unfinished run there was started by brenier {version}, this is {library_version()}; "
        "resume it with that version, or delete the file to start anew"
    )
