"""Populations: rows or endless samples, split and drawn with a generator that is passed in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brenier import DataError
from brenier.datasets.populations import (
    MemorySettings,
    Population,
    Rows,
    Split,
    SplitSettings,
    Stream,
    population,
    sample_checked,
)

TABLE = np.arange(200.0).reshape(100, 2)  # row i is (2i, 2i + 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["memory", "file", "part of memory", "part of a file"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Rows:
    table: Any = TABLE
    if "file" in request.param:
        np.save(tmp_path / "x.npy", TABLE)
        table = np.load(tmp_path / "x.npy", mmap_mode="r")
    found, samples = population(table, "X")
    assert isinstance(found, Rows)
    assert samples is not None
    if "part" in request.param:
        found = Rows(found.values, "X", torch.arange(99, -1, -3))
    return found


def numbers(rows: torch.Tensor) -> list[int]:
    """The numbers of rows of TABLE, which are checked to be whole."""
    np.testing.assert_array_equal(rows[:, 1], rows[:, 0] + 1)
    return (rows[:, 0] / 2).int().tolist()


def members(rows: Rows) -> list[int]:
    return list(range(100)) if rows.index is None else rows.index.tolist()


def test_rows_know_themselves(rows: Rows) -> None:
    assert (rows.size, rows.dim, rows.name) == (len(members(rows)), 2, "X")
    assert rows.in_memory == isinstance(rows.values, torch.Tensor)


@pytest.mark.parametrize("n", [1, 7, 2000])
def test_draws_are_members_with_replacement(rows: Rows, n: int) -> None:
    drawn = rows.sample(n, seeded())
    assert drawn.shape == (n, 2)
    assert drawn.dtype == torch.float64
    assert set(numbers(drawn)) <= set(members(rows))
    assert n < 2000 or set(numbers(drawn)) == set(members(rows))
    assert torch.equal(drawn, rows.sample(n, seeded()))
    assert n == 1 or not torch.equal(drawn, rows.sample(n, seeded(1)))


def test_distinct_samples_are_distinct_or_all_in_order(rows: Rows) -> None:
    some = numbers(rows.sample_distinct(10, seeded()))
    assert len(set(some)) == 10
    assert set(some) <= set(members(rows))
    assert some != numbers(rows.sample_distinct(10, seeded(1)))
    for n in (rows.size, 1000):
        assert numbers(rows.sample_distinct(n, seeded())) == members(rows)


def test_chunks_are_distinct_rows_or_all_in_order(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemorySettings(rows_at_once=7)
    monkeypatch.setattr("brenier.datasets.populations.MEMORY", memory)
    for n in (10, rows.size, 1000):
        parts = [part.rows for part in rows.chunks(n, seeded())]
        assert [len(part) for part in parts[:-1]] == [7] * (len(parts) - 1)
        found = numbers(torch.cat(parts))
        assert len(set(found)) == len(found) == min(n, rows.size)
        assert n == 10 or found == members(rows)


def test_chunks_of_a_stream_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemorySettings(rows_at_once=7)
    monkeypatch.setattr("brenier.datasets.populations.MEMORY", memory)
    stream, _ = population(normal, "X")
    parts = [part.rows for part in stream.chunks(16, seeded())]
    assert [len(part) for part in parts] == [7, 7, 2]
    assert len(torch.cat(parts).unique(dim=0)) == 16


def test_a_split_is_disjoint_and_whole(rows: Rows) -> None:
    rest, (first, second) = rows.split((5, 8), seeded())
    parts = [
        numbers(first.rows),
        numbers(second.rows),
        numbers(rest.sample_distinct(1000, seeded())),
    ]
    assert [len(part) for part in parts] == [5, 8, rows.size - 13]
    assert sorted(parts[0] + parts[1] + parts[2]) == sorted(members(rows))
    again, (third,) = rest.split((3,), seeded())
    assert set(numbers(third.rows)) <= set(parts[2])
    assert again.size == rows.size - 16
    assert set(numbers(again.sample(300, seeded()))).isdisjoint(
        parts[0] + parts[1] + numbers(third.rows)
    )


def test_files_and_memory_draw_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TABLE.astype(np.float32))
    mapped, whole = (
        population(np.load(tmp_path / "x.npy", mmap_mode=mode), "X")[0]
        for mode in ("r", None)
    )
    assert torch.equal(mapped.sample(50, seeded()), whole.sample(50, seeded()))
    assert torch.equal(
        mapped.sample_distinct(50, seeded()), whole.sample_distinct(50, seeded())
    )


def test_a_bad_row_of_a_file_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    bad = TABLE.copy()
    bad[42, 1] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    rows, _ = population(np.load(tmp_path / "bad.npy", mmap_mode="r"), "Y")
    with pytest.raises(
        DataError,
        match=r"^Y: contains NaN or inf in 1 of 100 rows read, the first at row 42, column 1",
    ):
        rows.sample_distinct(100, seeded())


@pytest.mark.parametrize("rows", [0, 1])
def test_a_population_has_two_rows_at_least(rows: int) -> None:
    with pytest.raises(DataError, match=rf"^X: .*{rows} sample\(s\).*minimum of 2"):
        population(TABLE[:rows], "X")


# ---- endless samples


def normal(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(n, 3, generator=generator)


class Sampler:
    """Callable, and not an array."""

    def __call__(self, n: int, generator: torch.Generator) -> list[list[float]]:
        return normal(n, generator).tolist()


@pytest.mark.parametrize(
    "sampler",
    [normal, Sampler(), lambda n, generator: normal(n, generator).half().numpy()],
)
def test_streams_are_endless(sampler: Any) -> None:
    stream, samples = population(sampler, "X")
    assert isinstance(stream, Stream)
    assert samples is None
    assert (stream.size, stream.dim, stream.in_memory) == (None, 3, False)
    for draw in (stream.sample, stream.sample_distinct):
        drawn = draw(10, seeded())
        assert drawn.shape == (10, 3)
        assert drawn.dtype == torch.float64
        assert torch.equal(drawn, draw(10, seeded()))


def test_a_stream_is_split_into_fresh_samples() -> None:
    stream, _ = population(normal, "X")
    generator = seeded()
    rest, held = stream.split((4, 5), generator)
    assert rest is stream
    assert [part.rows.shape for part in held] == [(4, 3), (5, 3)]
    later = rest.sample(4, generator)
    assert not torch.equal(held[0].rows, later)


def test_the_trial_of_a_sampler_takes_nothing_from_later_draws() -> None:
    first: Population = population(normal, "X")[0]
    generator = seeded()
    assert torch.equal(first.sample(5, generator).float(), normal(5, seeded()))


def test_mapped_rows_from_a_sampler_are_checked(tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.full((2, 2), np.nan))
    bad = np.load(tmp_path / "bad.npy", mmap_mode="r")
    with pytest.raises(
        DataError, match=r"^X \(returned by the sampler\): contains NaN"
    ):
        sample_checked(lambda n, generator: bad, "X", 2, seeded(), None)


def test_faults_of_a_sampler_are_its_own() -> None:
    def broken(n: int, generator: torch.Generator) -> torch.Tensor:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        population(broken, "X")


def test_rows_too_many_to_index_are_held_out_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemorySettings(max_indexed_rows=100)
    monkeypatch.setattr("brenier.datasets.populations.MEMORY", memory)
    np.save(tmp_path / "rows.npy", np.arange(2000.0)[:, None])
    generator = torch.Generator().manual_seed(0)
    table = Rows(np.load(tmp_path / "rows.npy", mmap_mode="r"), "X")
    rest, parts = table.split((200, 150), generator)
    held = torch.cat([part.rows for part in parts])
    assert [len(part) for part in parts] == [200, 150]
    assert held.unique().numel() == 350
    drawn, some = rest.sample(5000, generator), rest.sample_distinct(500, generator)
    assert some.unique().numel() == 500
    assert not torch.isin(torch.cat([drawn, some]), held).any()


# ---- what is held out


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        (100, SplitSettings(), 10),
        (109, SplitSettings(), 10),
        (9, SplitSettings(), 0),
        (10**6, SplitSettings(), 8192),
        (None, SplitSettings(), 8192),
        (100, SplitSettings(held_out_rows=3), 3),
        (100, SplitSettings(held_out_one_in=4), 25),
    ],
)
def test_one_row_in_so_many_is_held_out(
    size: int | None, settings: SplitSettings, expected: int
) -> None:
    assert settings.count(size) == expected


def test_both_sides_are_split_alike_unless_one_has_too_few_rows() -> None:
    many, _ = population(TABLE, "X")
    few, _ = population(TABLE[:7], "Y")
    stream, _ = population(lambda n, generator: normal(n, generator)[:, :2], "Y")
    split = Split.of(many, stream, seeded(), SplitSettings(held_out_one_in=5))
    assert split.held_out
    assert [len(rows) for rows in split.select] == [20, 8192]
    assert [len(rows) for rows in split.certify] == [20, 8192]
    assert split.source.size == 60
    whole = Split.of(many, few, seeded())
    assert not whole.held_out
    assert [len(rows) for rows in whole.select] == [100, 7]
    assert whole.select is whole.certify
