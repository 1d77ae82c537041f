"""How much a certificate computes, and the factors that make an estimate of a map's error one that usually holds."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class CertificateSettings:
    """How much a certificate computes.

    Attributes:
        audit_rows: target rows whose inner minima are searched for again, at most.
        audit_noise: standard deviations of the noise added to a minimum found, for a start each; in coordinates where
            the average feature has variance one.
        audit_source_rows: further starts, at random source rows.
        audit_margin: by how much a value must be lower, of its size and of one, to be that of another minimum: values
            of one minimum differ by rounding in single precision.
        audit_errors: standard errors by which the missed depth is raised.
        matched_rows: rows of a side that are matched exactly, at most: with 3,000 a second or two.
        batches: parts of these, matched each by itself, that tell how much the matching varies.
        guard_rows, affine_rows: the same where three matchings are compared, to see whether a network misses more than
            its twin, and to find the error of an affine map, whose only figure that is.
        solved_rows: rows of a side whose dual terms are found, at most.
        traced_rows, trace_step: rows at which the map's derivative is looked at, and how far apart, where the average
            feature has variance one: far enough for single precision.
        least_rows: of a side, with fewer of which nothing is claimed: Student's t is then as wide as the data.
    """

    audit_rows: int = 2000
    audit_noise: tuple[float, ...] = (0.3, 1.0, 2.0)
    audit_source_rows: int = 3
    audit_margin: float = 1e-5
    audit_errors: float = 2.0
    matched_rows: int = 3000
    batches: int = 8
    guard_rows: int = 1500
    affine_rows: int = 2500
    solved_rows: int = 20_000
    traced_rows: int = 1000
    trace_step: float = 0.05
    least_rows: int = 20


CERTIFICATES = CertificateSettings()


@dataclasses.dataclass(frozen=True)
class ErrorFactors:
    """By how much the error of a twin, or what a matching tells, is raised to cover the error of the map.

    Each covers 95 % or more of the rows of `benchmarks/certificates`, table "kappa": it is one over the ratio of
    estimate to true error that a twentieth of them are below, over pairs whose true map is known.

    Attributes:
        forward, inverse: of the twin's root mean square errors.
        matching_forward, matching_inverse: of those that a matching leads to, where the affine map was kept.
        underfit_errors: standard errors by which matchings must tell of a larger gap than the twin's, for the map to
            be said to underfit.
        source: the row of the table that they are from.
    """

    forward: float = 1.72
    inverse: float = 1.54
    matching_forward: float = 1.53
    matching_inverse: float = 1.3
    underfit_errors: float = 3.0
    source: str = (
        "80 fits to 24 pairs with known maps, benchmarks/results/certificates.md; forward: islands d=2 n=10,000, "
        "inverse: curve d=2 n=1,000, by matchings: w2hd d=64 n=1,000 and gaussian d=2 n=1,000"
    )


ERROR_FACTORS = ErrorFactors()
