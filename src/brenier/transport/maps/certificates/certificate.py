"""A certificate: what a fitted map can honestly say of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

from brenier.errors import DataError
from brenier.transport.maps.certificates.audit import Audit
from brenier.transport.maps.certificates.map_error import MapError
from brenier.transport.maps.checks import Json, check_fields


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Bounds of the distance, of what the dual value misses, and an estimate of the error of the map.

    Every bound holds at the stated confidence by itself, for independent rows. None stands where nothing can be said,
    and `remarks` say why.

    Attributes:
        measure: "W2", or "OT_c", the transport cost, for a cost that is not the squared distance.
        estimate: of the measure, as the fit measured it.
        lower, upper: bounds of the measure.
        gap: an upper bound of by how much W2^2 (or OT_c) is above its dual value, which is zero for the optimal map.
        map_error: the estimated error of the map, or None.
        audit: of the inner minima, or None.
        confidence: of every bound.
        rows: source and target rows that the bounds rest on.
        matched_rows: rows a side of every part that was matched exactly.
        held_out: whether the map was trained on none of the rows that the lower bound is measured on; of rows given to
            `certify` that is taken for granted.
        certain: whether the lower bound needs no assumption on inner minima, since each is certainly the only one.
        unit: what distances are measured in.
        remarks: what cannot be said here and why, in sentences.
        parts: the certificates of the classes, or of the values of covariates; this one is then that of all together.
    """

    measure: str
    estimate: float
    lower: float | None
    upper: float | None
    gap: float | None
    map_error: MapError | None
    audit: Audit | None
    confidence: float
    rows: tuple[int, int]
    matched_rows: int
    held_out: bool
    certain: bool
    unit: str
    remarks: tuple[str, ...] = ()
    parts: tuple[tuple[Hashable, Certificate], ...] = ()

    def __str__(self) -> str:
        return self.statement()

    def at(self, condition: Hashable) -> Certificate:
        """Return the certificate of a class, or of a value of covariates.

        Raises:
            DataError: where there is none of it.
        """
        for known, found in self.parts:
            if known == condition:
                return found
        names = ", ".join(repr(known) for known, _ in self.parts[:5]) or "none"
        raise DataError(
            f"condition: there is no certificate of {condition!r}; those there are: {names}"
        )

    def verdict(self) -> str:
        """Return in one sentence what is known of the distance."""
        sure = f"{self.confidence:.0%}"
        name = "W2" if self.measure == "W2" else "the transport cost"
        if self.lower is None and self.upper is None:
            return f"Nothing can be said of {name} here."
        if self.lower is None:
            return f"{name} is at most {self.upper:.4g} ({sure}; {self.unit})."
        if self.upper is None:
            return f"{name} is at least {self.lower:.4g} ({sure}; {self.unit})."
        start = name[0].upper() + name[1:]
        return (
            f"{start} is at least {self.lower:.4g} and at most {self.upper:.4g} (each at {sure}; {self.unit}); "
            f"the estimate is {self.estimate:.4g}."
        )

    def statement(self) -> str:
        """Return everything that may be claimed, in sentences, and what it assumes."""
        lines = [self.verdict()]
        if self.gap is not None:
            square = "W2^2" if self.measure == "W2" else "the transport cost"
            lines.append(
                f"The map's dual value misses at most {self.gap:.3g} of {square} ({self.confidence:.0%}); it misses "
                "nothing where the map is optimal."
            )
        if self.map_error is not None:
            lines.append(self.map_error.statement(self.unit))
        if self.audit is not None:
            lines.append(self.audit.statement())
        lines += self.remarks
        lines.append(self.assumptions())
        if self.parts:
            lines.append(f"These are figures of all {len(self.parts)} parts together:")
        for condition, part in self.parts:
            lines.append(f"  {condition}: {part.verdict()}")
        return "\n".join(lines)

    def assumptions(self) -> str:
        """Return what the claims rest on, in words for people who did not fit the map."""
        found = [
            "The bounds take it that the rows are independent draws of their populations: copies of rows, or cells of "
            "one animal, count for less than they seem to; and so many that their means are nearly normal, which heavy "
            "tails put off"
        ]
        if self.lower is not None:
            if self.certain:
                found.append("the lower bound assumes nothing else")
            else:
                found.append(
                    "the lower bound also assumes that no inner minimum was missed by the search and the audit"
                )
        if self.upper is not None:
            found.append("the upper bound assumes nothing of the map")
        if self.map_error is not None:
            found.append(
                "the error of the map is an estimate, not a guarantee: it assumes that the true map is no harder to "
                "learn than the fitted one. No bound without such an assumption can be tight in many dimensions"
            )
        return "; ".join(found) + "."

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON holds them; labels of classes must be strings, numbers or tuples of these."""
        found = dataclasses.asdict(dataclasses.replace(self, parts=()))
        found["rows"], found["remarks"] = list(self.rows), list(self.remarks)
        parts = [[_listed_label(key), part.to_json()] for key, part in self.parts]
        return {**found, "parts": parts}

    @classmethod
    def from_json(cls, held: Json) -> Certificate:
        """Return what `to_json` made of a certificate; fields of newer versions are passed over.

        Raises:
            ValueError: where a field is of another kind.
        """
        nested = {"map_error": MapError, "audit": Audit}
        plain = {name: value for name, value in held.items() if name not in nested}
        found = _fields_of(cls, plain)
        for name, kind in nested.items():
            own = held[name]
            found[name] = None if own is None else kind(**_fields_of(kind, own))
        found["rows"], found["remarks"] = tuple(held["rows"]), tuple(held["remarks"])
        found["parts"] = tuple(
            (_tuple_label(key), cls.from_json(part)) for key, part in found["parts"]
        )
        return cls(**found)


def _fields_of(kind: type, held: Json) -> dict[str, Any]:
    """Return those values that a dataclass has fields for, checked by their types."""
    check_fields("certificate", held, kind)
    names = {field.name for field in dataclasses.fields(kind)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in held.items()
        if name in names
    }


def _listed_label(label: Hashable) -> object:
    return (
        [_listed_label(part) for part in label] if isinstance(label, tuple) else label
    )


def _tuple_label(label: object) -> Hashable:
    if isinstance(label, list):
        return tuple(_tuple_label(part) for part in label)
    return label  # type: ignore[return-value]
