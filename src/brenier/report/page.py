"""A page: a title and sections, written whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from brenier.atomic import write_bytes

PAGE = "report.md"


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and the Markdown below it."""

    heading: str
    body: str


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a Markdown page with a title and sections; empty sections are left out.

    Raises:
        OSError: where the file cannot be written; what was there before stays.
    """
    parts = [
        f"# {title}",
        *(f"## {part.heading}\n\n{part.body}" for part in sections if part.body),
    ]
    write_bytes(path, ("\n\n".join(parts) + "\n").encode())
