"""Whether a file computes what the library does, on rows near and far."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.transport.maps.export.formats import Runner
from brenier.transport.maps.export.functions import Outputs
from brenier.transport.maps.export.subject import TRIAL, Subject


@dataclasses.dataclass(frozen=True)
class AgreementSettings:
    """When a file is as good as the library.

    Attributes:
        error: how far results may differ, as a share of the spread of the data; of rows that lie further out, of their
            distance.
        roundings: where single precision rounds off more than that, how many times what it does: both sides round,
            each in an order of its own.
        last_digits: of the numbers themselves, which may lie far from zero, by how many a result may differ.
    """

    error: float = 1e-6
    roundings: float = 4.0
    last_digits: float = 2.0


COMPARISON = AgreementSettings()


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a file differs from the library, as a share of the spread of the data, or of a row's distance.

    Attributes:
        error: largest difference of a usual row.
        far: that of a row far outside.
        rounding: the largest of either between the library and itself in double precision, where one is above what may
            be; else None.
    """

    error: float
    far: float
    rounding: float | None = None

    @property
    def largest(self) -> float:
        """The larger of both."""
        return max(self.error, self.far)

    @property
    def small(self) -> bool:
        """Whether the file is as good as the library."""
        allowed = COMPARISON.error
        if self.rounding is not None:
            allowed = max(allowed, COMPARISON.roundings * self.rounding)
        return self.largest <= allowed


def compared(run: Runner, subject: Subject) -> Difference:
    """Return how far a file differs from the library on many rows.

    Raises:
        DataError: where it does not run, or not on no row or one.
    """
    trial = subject.trial(TRIAL.rows)
    blocks = list(trial.blocks(subject.rows_at_once))
    try:
        found = _all_rows([run(block.inputs) for block in blocks])
        for few in (0, 1):
            shapes = [part.shape for part in run(trial.rows(slice(0, few)).inputs)]
            if shapes != [(few, *part.shape[1:]) for part in found]:
                raise ValueError(f"{few} rows give results of {shapes}")
    except Exception as error:  # of a runtime
        fault = " ".join(str(error).split())[:300]
        raise DataError(
            f"path: the file does not run ({fault}); nothing was written. Write a file of the other kind",
            argument="path",
        ) from error
    expected = _all_rows([subject.expected(block) for block in blocks])
    errors = _row_errors(found, expected, subject)
    usual = subject.usual(len(errors))
    difference = Difference(float(errors[usual].max()), float(errors[~usual].max()))
    if difference.small:
        return difference
    exact = _all_rows([subject.expected(block, double=True) for block in blocks])
    rounding = float(_row_errors(expected, exact, subject).max())
    return dataclasses.replace(difference, rounding=rounding)


def _all_rows(parts: Sequence[Outputs]) -> Outputs:
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


def _row_errors(found: Outputs, expected: Outputs, subject: Subject) -> Tensor:
    """Return the largest error of every row in all outputs: (n,)."""
    of_data = 0 if subject.what == "map" else 2  # which output is rows of the data
    errors = [
        _relative(a, b, subject if place == of_data else None)
        for place, (a, b) in enumerate(zip(found, expected, strict=True))
    ]
    return torch.stack(errors).amax(0)


def _relative(found: Tensor, expected: Tensor, subject: Subject | None) -> Tensor:
    """Return differences as shares of the spread, or of the distance of a row, infinite where one is no number: (n,).

    Args:
        found, expected: (n,) or (n, d), of one type.
        subject: whose units these are in, or None for those of the coordinates.
    """
    digits = COMPARISON.last_digits * torch.finfo(expected.dtype).eps
    found, expected = found.double(), expected.double()
    away = found - expected
    away = away.sign() * (away.abs() - digits * expected.abs()).clamp(min=0)
    from_centre = expected - expected.mean(0)
    if subject is not None:
        away = subject.coordinates.comparable(away)
        from_centre = subject.coordinates.comparable(from_centre)
    size, distance = (
        each.abs().reshape(len(each), -1).amax(-1) for each in (away, from_centre)
    )
    # Most rows are usual ones: the median distance is the spread.
    scale = distance.clamp(min=float(distance.median()))
    shares = size / scale.clamp(min=torch.finfo(scale.dtype).tiny)
    return torch.where(shares.isfinite(), shares, torch.inf)
