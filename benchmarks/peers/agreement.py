"""Whether this library's own expectile dual and W2 dual are those of ott-jax: both on the same samples, side by side.

    python -m benchmarks.peers.environments ott-jax
    BRENIER_DATA=... python -m benchmarks.peers --agreement --pairs w2hd --dims 2

One row for a method: the errors of either, and their ratios. The settings are the same, those of `ott_jax.py`:
networks, batches, rates, the conjugate. Seconds are those of the processor, which others on the machine do not shorten.
The two are not equally fast: ours is fitted a second time for as many steps as theirs took, which says whether the
methods are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.harness import Column, Row
from benchmarks.harness.tables import ratio

Measure = Callable[[dict[str, Any]], Mapping[str, Any]]
RATES = (5e-4, 2e-3)
CLOSE = 4 / 3  # the largest ratio of errors at which two methods agree
COMMON = {"batch_size": 1024, "final_rate": 1e-4, "coordinates": "data"}


@dataclasses.dataclass(frozen=True)
class Twin:
    """One method of both libraries.

    Attributes:
        name: in the rows.
        theirs: the recipe of ott-jax.
        ours: the recipe of this library.
    """

    name: str
    theirs: Mapping[str, Any]
    ours: Mapping[str, Any]


EXPECTILE_OURS = {
    **COMMON,
    "betas": (0.9, 0.99),
    "expectile": 0.99,
    "weight": 1.0,
    "widths": (128, 128, 128, 128),
}
W2_OURS = {
    **COMMON,
    "optimiser": "Adam",
    "weight_decay": 0.0,
    "betas": (0.5, 0.5),
    "potential": "plain",
    "start": "gradient",
    "amortisation": "regression",
    "residual": 0.1,
    "solve_steps": 10,
    "answer_residual": 1e-4,
    "answer_steps": 100,
    "pretraining_steps": 0,
}


def twins(expectile: Mapping[str, Any]) -> Iterator[Twin]:
    """Yield every method, with every rate.

    Args:
        expectile: the recipe of ott-jax's expectile dual, without a rate.
    """
    known = {
        "expectile dual, 4 x 128": (expectile, "enot", EXPECTILE_OURS),
        "W2 dual": ({"kind": "w2"}, "w2ot", W2_OURS),
    }
    for name, (theirs, baseline, settings) in known.items():
        for rate in RATES:
            shared = {"rate": rate, "processor_time": True}
            ours = {"baseline": baseline, "learning_rate": rate, **settings}
            yield Twin(f"{name}, rate {rate:g}", {**theirs, **shared}, ours)


def compare(twin: Twin, theirs: Measure, ours: Measure) -> dict[str, Any]:
    """Return the numbers of the row of a method.

    Args:
        twin: the method.
        theirs, ours: recipe -> errors and numbers of either library.
    """
    peer = theirs(dict(twin.theirs))
    by_seconds = ours(dict(twin.ours))
    by_steps = ours({**twin.ours, "max_steps": int(peer["steps"])})
    found = {"": by_seconds, "peer_": peer, "same_steps_": by_steps}
    return {
        prefix + name: numbers[name]
        for prefix, numbers in found.items()
        for name in ("forward_uvp", "backward_uvp", "steps", "fit_seconds", "library")
    }


def compared(row: Row) -> bool:
    """Choose the rows of this comparison."""
    return row.get("peer_steps") is not None


def agrees(row: Row) -> bool:
    """Say whether the errors after the same steps are within a third of each other, both ways."""
    ratios = [
        row.get(f"same_steps_{way}_uvp") / row.get(f"peer_{way}_uvp")
        for way in ("forward", "backward")
    ]
    return all(1 / CLOSE <= each <= CLOSE for each in ratios)


def _columns(way: str) -> tuple[Column, ...]:
    """Return the columns of one direction."""
    peer = f"peer_{way}_uvp"
    names = {"same seconds": f"{way}_uvp", "same steps": f"same_steps_{way}_uvp"}
    ours = (Column(f"ours, {title}", name, ".3f") for title, name in names.items())
    ratios = (
        Column(f"ratio, {title}", ratio(name, peer), ".2f")
        for title, name in names.items()
    )
    return (Column(f"{way} UVP %, ott-jax", peer, ".3f"), *ours, *ratios)


COLUMNS = (
    *_columns("forward"),
    *_columns("backward"),
    Column("within a third, same steps", agrees),
    Column("steps, ott-jax", "peer_steps", ".0f"),
    Column("ours, same seconds", "steps", ".0f"),
    Column("seconds, ott-jax", "peer_fit_seconds", ".0f"),
    Column("ours", "fit_seconds", ".0f"),
    Column("ours, same steps", "same_steps_fit_seconds", ".0f"),
    Column("library", "peer_library"),
)
