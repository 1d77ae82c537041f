"""Samples of every kind: the same kind and precision comes back, and files are never read whole."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from fits import NAMES, X, Y, quick, same, weights
from sklearn.base import clone

from brenier.datasets.populations import MemorySettings

# ---- kinds in and out

KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "int64": lambda x: (10 * x).astype(np.int64),
    "uint8": lambda x: (10 * x + 100).astype(np.uint8),
    "bool": lambda x: x > 0,
    "object": lambda x: x.astype(object),
    "list": lambda x: x.tolist(),
    "tensor float64": torch.from_numpy,
    "tensor float32": lambda x: torch.from_numpy(x).float(),
    "tensor float16": lambda x: torch.from_numpy(x).half(),
    "tensor bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "tensor int32": lambda x: torch.from_numpy(10 * x).int(),
    "tensor with gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "pandas": lambda x: pd.DataFrame(x, columns=NAMES, index=range(7, 7 + len(x))),
    "pandas float32": lambda x: pd.DataFrame(x, columns=NAMES, dtype="float32"),
    "pandas nullable": lambda x: pd.DataFrame(x, columns=NAMES).convert_dtypes(),
    "polars": lambda x: pl.DataFrame(x, schema=NAMES),
    "polars float32": lambda x: pl.DataFrame(x.astype(np.float32), schema=NAMES),
}
SINGLE = {
    "float32",
    "float16",
    "tensor float32",
    "tensor float16",
    "tensor bfloat16",
    "pandas float32",
    "polars float32",
}


def array_of(values: Any) -> np.ndarray:
    return (
        values.detach().numpy()
        if isinstance(values, torch.Tensor)
        else np.asarray(values)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_given_comes_back(kind: str) -> None:
    given, target = KINDS[kind](X), KINDS[kind](Y)
    ot = quick(max_steps=1).fit(given, target)
    moved = ot.transform(given)
    back = ot.inverse_transform(moved)
    expected = list if kind == "list" else type(given)
    for result in (moved, back):
        assert type(result) is (np.ndarray if expected is list else expected)
        assert array_of(result).dtype == (np.float32 if kind in SINGLE else np.float64)
        assert array_of(result).shape == X.shape
    start = array_of(given.float() if kind == "tensor bfloat16" else given).astype(
        np.float64
    )
    np.testing.assert_allclose(
        array_of(back).astype(np.float64), start, atol=2e-3 * np.abs(start).max()
    )
    if isinstance(given, pd.DataFrame | pl.DataFrame):
        assert list(moved.columns) == list(ot.feature_names_in_) == NAMES
    if isinstance(given, pd.DataFrame):
        assert moved.index.equals(given.index)
    if isinstance(given, torch.Tensor):
        assert moved.requires_grad == given.requires_grad


def test_the_kind_is_that_of_each_call() -> None:
    fitted = quick().fit(X, Y)
    reference = fitted.transform(X)
    moved = fitted.transform(torch.from_numpy(X).float())
    np.testing.assert_allclose(moved.numpy(), reference, rtol=1e-5, atol=1e-5)


def test_both_sides_may_be_of_different_kinds_and_sizes() -> None:
    first = quick().fit(X, Y)
    second = quick().fit(pd.DataFrame(X, columns=NAMES), torch.from_numpy(Y))
    assert same(weights(first), weights(second))


def test_samplers_are_endless_samples() -> None:
    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    ot = quick().fit(source, lambda n, generator: (source(n, generator) + 3).numpy())
    assert ot.n_features_in_ == 2
    np.testing.assert_allclose(ot.transform(X), X + 3, atol=0.1)


class Counting(np.memmap):
    """A memory-mapped array that notes how many rows each read brings into memory."""

    read: list[int]

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        Counting.read.append(len(part))
        return part


def test_mapped_files_are_never_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 60_000
    generator = np.random.default_rng(2)
    np.save(tmp_path / "x.npy", generator.normal(size=(n, 8)).astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    few = {"held_out_rows": 500, "coordinate_rows": 2000, "moment_rows": 2000}
    memory = MemorySettings(rows_at_once=2000)
    monkeypatch.setattr("brenier.datasets.populations.MEMORY", memory)
    monkeypatch.setattr(Counting, "read", [], raising=False)
    tracemalloc.start()
    ot = quick(settings=few).fit(
        mapped.view(Counting), Y[:, :1] + np.zeros(8) + generator.normal(size=(300, 8))
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(Counting.read) <= 2000
    assert sum(Counting.read) < n
    assert peak < mapped.nbytes
    Counting.read.clear()
    ot.map_.batch_size = 1000
    moved = ot.transform(mapped.view(Counting))
    assert set(Counting.read) == {1000}
    assert (type(moved), moved.dtype) == (np.ndarray, np.float32)
    np.testing.assert_allclose(moved, ot.transform(np.array(mapped)), rtol=1e-6)


@pytest.mark.parametrize("kind", ["float64", "tensor float32", "pandas", "polars"])
@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_asks_for_another_kind(kind: str, container: str) -> None:
    ot = quick(max_steps=1).fit(KINDS[kind](X), KINDS[kind](Y))
    plain = ot.transform(KINDS[kind](X))
    frame = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[container]
    outputs = [
        clone(ot)
        .set_output(transform=container)
        .fit(KINDS[kind](X), KINDS[kind](Y))
        .transform(KINDS[kind](X))
    ]
    with sklearn.config_context(transform_output=container):
        outputs.append(ot.transform(KINDS[kind](X)))
    for moved in outputs:
        assert type(moved) is frame
        assert list(moved.columns) == list(ot.get_feature_names_out())
        np.testing.assert_array_equal(np.asarray(moved), array_of(plain))


@pytest.mark.slow
def test_the_affine_map_of_streams_is_refitted_to_as_many_rows_as_training_drew() -> (
    None
):
    few = {"coordinate_rows": 500, "z_threshold": np.inf}
    draw = lambda n, generator: torch.randn(n, 3, generator=generator)  # noqa: E731
    ot = quick(max_steps=60, batch_size=1024, settings=few).fit(
        draw, lambda n, generator: 2 * draw(n, generator) + 1
    )
    assert ot.diagnostics_["selected"] == "affine"
    drawn = 500 + 1024 * ot.diagnostics_["steps"]
    error = torch.linalg.vector_norm(ot.map_.coordinates.source_mean)
    assert float(error) < 3 * (3 / drawn) ** 0.5 < (3 / 500) ** 0.5
