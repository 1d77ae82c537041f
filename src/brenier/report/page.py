"""A report page: a title and sections in Markdown, written whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from brenier.atomic import write_bytes

PAGE = "report.md"  # the file name of a report inside its folder


@dataclasses.dataclass(frozen=True)
class Section:
    """One section of a page.

    Attributes:
        heading: one line of text, without the number signs.
        body: the Markdown below it; a section with an empty body is not written.
    """

    heading: str
    body: str


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a Markdown page with a title and sections; sections without a body are left out.

    Raises:
        OSError: where the file cannot be written; an older file of that name stays as it was.
    """
    filled = [section for section in sections if section.body]
    blocks = [f"## {section.heading}\n\n{section.body}" for section in filled]
    text = "\n\n".join([f"# {title}", *blocks]) + "\n"
    write_bytes(path, text.encode(errors="backslashreplace"))
