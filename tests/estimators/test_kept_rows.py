"""Source rows that a fitted map keeps for its inverse: which they are, the switch, and that nothing else changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, quick, same, weights
from safetensors.torch import load_file

from brenier import DataError, load

X, Y = PAIR
LABELS, DOSE = np.arange(1000) % 3, np.linspace(0, 1, 1000)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "by class": {"source_labels": LABELS, "target_labels": LABELS},
    "by covariate": {"source_covariates": DOSE, "target_covariates": DOSE},
    "without covariates": {"target_covariates": DOSE},
}
EVERY = pytest.mark.parametrize("kind", KINDS)


def fitted(kind: str, potential: str = "free", **parameters: Any) -> Any:
    """A fit whose network is kept."""
    parameters = {"max_steps": 60, "settings": {"z_threshold": 0}, **parameters}
    return quick(potential, **parameters).fit(X, Y, **KINDS[kind])


def decoded(transport: Any) -> torch.Tensor:
    """The kept rows in the units of the data."""
    kept = transport.start_rows.double()
    if not hasattr(transport, "conditions"):
        return transport.coordinates.decode_source(kept)
    codes, conditions = kept[:, transport.dim :], transport.conditions
    if transport.labels:
        every = conditions.embedding(torch.arange(3)).to(torch.float32).double()
        index = torch.cdist(codes, every).argmin(-1)
    else:
        index = codes[:, :1]  # the covariate itself, scaled
    return conditions.side(index).decode_source(kept)


@EVERY
def test_kept_rows_are_rows_of_the_source(kind: str) -> None:
    ot = fitted(kind)
    assert ot.diagnostics_["selected"] == "network"
    kept = decoded(ot.map_)
    assert 100 < len(kept) <= 1024
    nearest = torch.cdist(kept, torch.from_numpy(X)).amin(-1)
    assert float(nearest.max()) < 1e-4  # single precision
    distinct = len(ot.map_.start_rows.unique(dim=0))
    assert distinct > 0.99 * len(kept)  # a row may be lent one covariate twice


def test_every_class_has_rows() -> None:
    ot = fitted("by class")
    counts = [len(ot.map_.at(label).start_rows) for label in ot.labels_]
    assert sum(counts) == len(ot.map_.start_rows)
    assert min(counts) > 200


@pytest.mark.slow
@EVERY
def test_without_them_all_else_is_the_same(kind: str) -> None:
    ot, without = fitted(kind), fitted(kind, keep_rows=False)
    assert without.map_.start_rows is None or not len(without.map_.start_rows)
    assert same(weights(ot), weights(without))
    values = [[row["value"] for row in each.history_] for each in (ot, without)]
    assert values[0] == values[1]
    names = ("selected", "steps", "round_trip_rows")
    assert [ot.diagnostics_[name] for name in names] == [
        without.diagnostics_[name] for name in names
    ]


@pytest.mark.parametrize(
    "told", [{"potential": "convex"}, {"settings": {"z_threshold": np.inf}}]
)
def test_maps_with_unique_inverses_keep_none(told: dict[str, Any]) -> None:
    ot = fitted("plain", max_steps=2, **told)
    assert ot.map_.network.strong_convexity() > 0
    assert ot.map_.start_rows is None


def test_how_many_are_kept_is_a_setting() -> None:
    settings = {"z_threshold": 0, "max_candidates": 17}
    assert len(fitted("plain", settings=settings).map_.start_rows) == 17


def test_rows_of_a_stream_are_kept() -> None:
    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    def target(n: int, generator: torch.Generator) -> torch.Tensor:
        return source(n, generator).sinh()

    settings = {"z_threshold": 0, "held_out_rows": 500, "coordinate_rows": 5000}
    ot = quick(settings=settings | {"moment_rows": 5000}).fit(source, target)
    assert len(ot.map_.start_rows) == 1024


@EVERY
def test_a_loaded_model_inverts_as_the_saved_one(kind: str, tmp_path: Path) -> None:
    ot = fitted(kind)
    ot.save(tmp_path)
    again = load(tmp_path)
    assert torch.equal(again.map_.start_rows, ot.map_.start_rows)
    told = {"by class": {"labels": LABELS[:50]}, "plain": {}}
    condition = told.get(kind, {"covariates": DOSE[:50]})
    np.testing.assert_array_equal(
        again.inverse_transform(Y[:50], **condition),
        ot.inverse_transform(Y[:50], **condition),
    )


def test_no_source_row_is_in_a_model_without_them(tmp_path: Path) -> None:
    for keep, k in ((True, 800), (False, 0)):
        ot = fitted("plain", keep_rows=keep)
        ot.save(tmp_path / str(keep))
        (path,) = (tmp_path / str(keep)).glob("*.safetensors")
        assert len(load_file(path).get("start_rows", [])) == k
        assert load(tmp_path / str(keep)).keep_rows is keep


@pytest.mark.parametrize("wrong", [1, None, "no"])
def test_the_switch_is_true_or_false(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"^keep_rows: must be True or False"):
        quick(keep_rows=wrong).fit(X, Y)
