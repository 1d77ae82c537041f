"""Figures of several maps together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

KnownPart = TypeVar("KnownPart")


def all_known(parts: Sequence[KnownPart | None]) -> list[KnownPart] | None:
    """Return parts that are all known, one at least; else None: of all together nothing is known then."""
    known = [part for part in parts if part is not None]
    return known if known and len(known) == len(parts) else None
