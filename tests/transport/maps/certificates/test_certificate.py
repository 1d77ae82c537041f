"""What a certificate says, and how it is kept."""

import json
import math
from dataclasses import replace

import pytest

from brenier import DataError
from brenier.transport.maps import (
    Audit,
    Certificate,
    Excess,
    Twin,
    estimated_error,
    pooled_excess,
)
from brenier.transport.maps.certificates.settings import ERROR_FACTORS

AUDIT = Audit(100, 6, 3, 0.01, 0.2, 0, needless=False)
TWIN = Twin(forward=0.2, inverse=0.1, gap=0.05, gap_error=0.005)
EXCESS = Excess(gap=0.06, error=0.02, least=0.01, stretch=2.0, shrink=0.5)
CERTIFICATE = Certificate(
    measure="W2",
    estimate=1.5,
    lower=1.4,
    upper=1.7,
    gap=0.2,
    map_error=estimated_error(TWIN, EXCESS, affine=False, spread=2.0),
    audit=AUDIT,
    confidence=0.95,
    rows=(300, 200),
    matched_rows=60,
    held_out=True,
    certain=False,
    unit="units of the data",
)


def test_a_certificate_comes_back_from_json() -> None:
    parts = (("a", CERTIFICATE), ((1, "b"), replace(CERTIFICATE, upper=None)))
    both = replace(CERTIFICATE, parts=parts, remarks=("Nothing else.",))
    text = json.dumps(both.to_json(), allow_nan=False)
    assert Certificate.from_json(json.loads(text)) == both
    newer = {**json.loads(text), "another": 1}
    assert Certificate.from_json(newer) == both


@pytest.mark.parametrize(
    ("field", "value"),
    [("lower", "high"), ("rows", 3), ("audit", {"rows": "many"}), ("confidence", True)],
)
def test_what_is_no_certificate_is_refused(field: str, value: object) -> None:
    held = {**CERTIFICATE.to_json(), field: value}
    with pytest.raises((ValueError, TypeError)):
        Certificate.from_json(held)


def test_the_statement_says_what_is_assumed() -> None:
    text = CERTIFICATE.statement()
    assert "at least 1.4 and at most 1.7" in text
    assert "not a guarantee" in text
    assert "no inner minimum was missed" in text
    certain = replace(CERTIFICATE, certain=True, map_error=None).statement()
    assert "assumes nothing else" in certain
    assert "not a guarantee" not in certain
    assert str(CERTIFICATE) == text


def test_parts_are_found_by_their_condition() -> None:
    both = replace(CERTIFICATE, parts=(("a", CERTIFICATE),))
    assert both.at("a") is CERTIFICATE
    with pytest.raises(DataError, match="no certificate of 'b'"):
        both.at("b")


def test_the_error_is_that_of_the_twin_raised() -> None:
    found = estimated_error(TWIN, EXCESS, affine=False, spread=2.0)
    assert found is not None
    assert found.kind == "twin"
    assert found.forward == pytest.approx(ERROR_FACTORS.forward * 0.2)
    assert found.inverse == pytest.approx(ERROR_FACTORS.inverse * 0.1)
    assert not found.underfits


def test_an_affine_map_has_no_figure_of_a_twin() -> None:
    found = estimated_error(TWIN, EXCESS, affine=True, spread=2.0)
    assert found is not None
    assert found.kind == "matching"
    assert (found.twin_forward, found.twin_inverse, found.twin_gap) == (None,) * 3
    assert found.forward == pytest.approx(
        ERROR_FACTORS.matching_forward * math.sqrt(2 * 0.06)
    )


def test_a_map_that_misses_more_than_its_twin_underfits() -> None:
    beyond = EXCESS._replace(gap=0.5)
    found = estimated_error(TWIN, beyond, affine=False, spread=2.0)
    assert found is not None
    assert found.underfits
    assert found.kind == "matching"
    assert "more to learn" in found.statement("units")


def test_without_twin_or_matching_there_is_no_error() -> None:
    assert estimated_error(None, None, affine=False, spread=1.0) is None
    assert estimated_error(TWIN, None, affine=True, spread=1.0) is None


def test_excesses_together_count_by_their_shares() -> None:
    both = pooled_excess([EXCESS, EXCESS._replace(gap=0.1)], [0.5, 0.5])
    assert both is not None
    assert both.gap == pytest.approx(0.08)
    assert pooled_excess([EXCESS, None], [0.5, 0.5]) is None
