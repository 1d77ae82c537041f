"""The reference of `brenier drift`: a table, or what was fitted to one and kept in a folder for the next time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from brenier.apps.cli.console import note
from brenier.atomic import write_bytes
from brenier.errors import DataError
from brenier.report import DriftReference

SOURCE_FILE = "source.json"  # in the folder: which data, and how they were read


@dataclasses.dataclass(frozen=True)
class KeptReference:
    """A folder that keeps a fitted reference.

    Attributes:
        folder: of it.
        path: the file of the reference data.
        how: how the data are read and compared; whoever asks for the same data otherwise needs another folder.
    """

    folder: Path
    path: Path
    how: Mapping[str, object]

    def fitted(self, fit: Callable[[], DriftReference]) -> DriftReference:
        """Return the reference in the folder; where there is none, fit it and write it there.

        Raises:
            DataError: where the folder holds something else, or the reference of other data or settings.
        """
        told = self._source()
        if not self.folder.exists() or self._is_empty():
            reference = fit()
            reference.save(self.folder)
            write_bytes(self.folder / SOURCE_FILE, json.dumps(told, indent=2).encode())
            note(f"Reference: {self.folder}")
            return reference
        try:
            known = json.loads((self.folder / SOURCE_FILE).read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                f"--reference-model: {self.folder} is not what this option made from {self.path}; name a new folder, "
                f"or to test against what is in it: brenier drift {self.folder} WEEK"
            ) from error
        self._check_same(known, told)
        return DriftReference.load(self.folder)

    def _source(self) -> dict[str, object]:
        """Return which data the reference is of, and how they are read, as JSON holds it."""
        with self.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        held: dict[str, object] = json.loads(json.dumps(dict(self.how)))
        return {"reference": str(self.path), "sha256": digest, "settings": held}

    def _is_empty(self) -> bool:
        """Say whether the folder holds nothing; False for a file."""
        return self.folder.is_dir() and not any(self.folder.iterdir())

    def _check_same(self, known: object, told: Mapping[str, object]) -> None:
        """Raise unless the folder holds the reference of these data, read in this way."""
        held = known if isinstance(known, dict) else {}
        if held.get("sha256") != told["sha256"]:
            fault = f"other data than {self.path}"
        elif held.get("settings") != told["settings"]:
            fault = f"{self.path} with other settings"
        else:
            return
        raise DataError(
            f"--reference-model: {self.folder} holds the reference of {fault} (made from {held.get('reference')}); "
            f"name another folder, remove this one to fit it again, or to test against what is in it: brenier drift "
            f"{self.folder} WEEK [WEEK ...]"
        )
