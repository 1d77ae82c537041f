"""Scans as populations: what is drawn from the pool, split, left out and changed."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from scan_files import ROWS, STREAMED, InOrder, frame, in_parquet, numbers

from brenier import DataError
from brenier.datasets import ScanRows, ScanSettings, Split, scan, table_of_scan
from brenier.datasets.populations import population
from brenier.datasets.scans.pool import draw_pool


@pytest.fixture
def rows(tmp_path: Path) -> ScanRows:
    found, samples = population(scan(in_parquet(tmp_path), settings=STREAMED), "X")
    assert isinstance(found, ScanRows)
    assert samples is None
    return found


def test_a_population_knows_itself(rows: ScanRows) -> None:
    assert (rows.size, rows.dim, rows.name) == (ROWS, 2, "X")
    assert (rows.in_memory, rows.effective, rows.own_weights) == (False, ROWS, None)


def test_pooled_rows_are_distinct_and_from_all_over(rows: ScanRows) -> None:
    drawn = numbers(rows.pool.found.rows)
    assert len(set(drawn)) == len(drawn)
    assert abs(len(drawn) - 300) < 15
    spread = np.histogram(drawn, bins=3, range=(0, ROWS))[0]
    assert spread.min() > 20


def test_every_row_is_as_likely_to_be_pooled(tmp_path: Path) -> None:
    # Of row groups of very different sizes, as many of each are drawn as it has rows.
    sizes = [10, 300, 30, 150, 60, 450]
    ends = list(itertools.accumulate(sizes))
    for place, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        part = frame()[["u", "v"]].iloc[end - size : end]
        part.to_parquet(tmp_path / f"{place}.parquet")
    settings = ScanSettings(buffer_rows=2000, least_piece_rows=1000)
    found = scan(tmp_path, settings=settings)
    pool = draw_pool(found, 200, 6)
    shares = [int((pool.pieces == place).sum()) for place in range(6)]
    np.testing.assert_allclose(shares, np.array(sizes) / 5, atol=1)


def test_samples_are_rows_of_the_pool(rows: ScanRows) -> None:
    pool = set(numbers(rows.pool.found.rows))
    generator = torch.Generator().manual_seed(0)
    assert set(numbers(rows.sample(5000, generator))) == pool
    distinct = numbers(rows.sample_distinct(100, generator))
    assert len(set(distinct)) == 100
    assert len(rows.sample_distinct(5000, generator)) == len(pool)
    assert rows.sample(3, generator).dtype == torch.float64
    few = [chunk.rows for chunk in rows.chunks(150, generator)]
    assert len(set(numbers(torch.cat(few)))) == 150


def test_more_rows_than_are_pooled_are_read(rows: ScanRows) -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (700, 1000, 3000):
        chunks = list(rows.chunks(n, generator))
        found = numbers(torch.cat([chunk.rows for chunk in chunks]))
        assert len(set(found)) == len(found) == min(n, ROWS)


def test_splits_are_disjoint(rows: ScanRows) -> None:
    split = Split.of(rows, rows, torch.Generator().manual_seed(0))
    sides = [numbers(part.rows) for part in (split.select[0], split.certify[0])]
    tenth = len(rows.pool) // 10  # where the pool is a small part of the rows
    assert list(map(len, sides)) == [tenth, tenth]
    rest = numbers(split.source.sample_distinct(1000, torch.Generator()))
    assert not {*sides[0], *sides[1]} & set(rest)
    assert not set(sides[0]) & set(sides[1])
    assert split.source.size == ROWS - 2 * tenth


def test_a_pool_of_hardly_any_rows_is_refused(rows: ScanRows) -> None:
    few = dataclasses.replace(rows, pool=rows.pool[torch.arange(3)])
    with pytest.raises(DataError, match="X: only 3 rows of a positive weight"):
        few.split((200, 200), torch.Generator())


def test_rows_are_left_out_and_changed(rows: ScanRows) -> None:
    generator = torch.Generator().manual_seed(0)
    low = rows.without(lambda found: found[:, 0] >= 500)
    rest, (held_out,) = low.split((10,), generator)
    doubled = rest.changed(lambda found: 2 * found)
    stream = doubled.draws(lambda found: found / 2, generator)
    expected = sorted(set(range(500)) - set(numbers(held_out.rows)))
    assert sorted(numbers(stream(490))) == expected
    assert max(numbers(doubled.sample(500, generator) / 2)) < 500


def test_weights_are_those_of_rows(tmp_path: Path) -> None:
    made = frame()
    made["w"] = np.where(made.u < 500, 0.0, made.u)
    made.to_parquet(tmp_path / "x.parquet", row_group_size=64)
    found = scan(tmp_path, columns=["u", "v"], weight="w", settings=STREAMED)
    rows = ScanRows.of(found, "X")
    weighted = rows.sample_weighted(1000, torch.Generator())
    assert weighted.weights is not None
    np.testing.assert_array_equal(weighted.rows[:, 0], weighted.weights)
    assert weighted.rows[:, 0].min() >= 500
    drawn = rows.sample(40_000, torch.Generator().manual_seed(0))[:, 0]
    pool = weighted.rows[:, 0]
    assert float(drawn.mean()) == pytest.approx(
        float(pool.square().sum() / pool.sum()), rel=0.01
    )
    assert rows.effective is not None
    assert 0.9 * ROWS < rows.effective < ROWS


def test_weights_do_not_make_rows_larger(tmp_path: Path) -> None:
    made = frame()[["u", "v", "w"]].astype({"u": "float32", "v": "float32"})
    made.to_parquet(tmp_path / "x.parquet", row_group_size=64)
    rows = ScanRows.of(scan(tmp_path, weight="w", settings=STREAMED), "X")
    assert (rows.scan.single, rows.scan.row_bytes) == (True, 16)
    assert rows.pool.found.rows.dtype == torch.float32
    drawn = rows.draws(lambda found: found, torch.Generator())(1000)
    assert len(set(numbers(drawn))) > 500


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    pandas.DataFrame({"a": np.ones(50), "w": np.zeros(50)}).to_parquet(
        tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match="has 0 rows of a positive weight"):
        ScanRows.of(scan(tmp_path, weight="w"), "X")


def test_rows_in_their_own_order_are_of_unknown_number() -> None:
    rows = ScanRows.of(scan(InOrder(), settings=STREAMED), "X")
    assert (rows.size, rows.effective) == (None, None)
    assert numbers(rows.pool.found.rows) == list(range(300))


@pytest.mark.parametrize("most", [100, 1000])
def test_tables_hold_what_the_columns_say_of_their_rows(
    tmp_path: Path, most: int
) -> None:
    made = frame()
    made.to_parquet(tmp_path / "x.parquet", row_group_size=64)
    asked: dict[str, Any] = {"columns": ["u", "v"], "weight": "w"}
    with_labels = scan(tmp_path, labels="kind", settings=STREAMED, **asked)
    table = table_of_scan(with_labels, most, 20)
    chosen = numbers(table.rows)
    assert table.whole == (most == ROWS)
    assert abs(len(chosen) - most) <= 12
    assert table.labels == made.kind[chosen].tolist()
    assert table.weights is not None
    np.testing.assert_array_equal(table.weights, made.w[chosen])
    doses = scan(tmp_path, covariates=["dose", "u"], settings=STREAMED, **asked)
    table = table_of_scan(doses, most, 20)
    assert table.covariates is not None
    expected = made[["dose", "u"]].to_numpy()[numbers(table.rows)]
    np.testing.assert_array_equal(table.covariates, expected)


def test_tables_need_rows_from_all_over() -> None:
    with pytest.raises(DataError, match="InOrder: comes in an order of its own"):
        table_of_scan(scan(InOrder()), 100, 10)


def test_labels_that_name_nothing_are_refused(tmp_path: Path) -> None:
    made = pandas.DataFrame({"a": [1.0, 2.0], "kind": [["x"], ["y"]]})
    made.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"labels: column 'kind' .*holds list"):
        table_of_scan(scan(tmp_path, labels="kind"), 10, 10)
