"""Scans of files that several processes share: who reads what, and where a rank's draws go on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from brenier.datasets import Scan, ScanRows, scan
from brenier.estimators.scanned import DealtOut, scan_mark
from brenier.estimators.sharded import HELD, Sharded, dealt, unchanged
from brenier.training import Ranks

ROWS, FILES = 4_000, 4


@pytest.fixture
def rows(tmp_path: Path) -> Scan:
    """A scan of files whose first column numbers the rows."""
    numbers = np.arange(ROWS, dtype=np.float64)
    table = np.stack([numbers, numbers % 7], 1)
    for k, part in enumerate(np.split(table, FILES)):
        np.save(tmp_path / f"part{k}.npy", part)
    return scan(str(tmp_path / "*.npy"), buffer_rows=500)


def numbers_of(drawn: Tensor) -> list[int]:
    return drawn[:, 0].long().tolist()


def test_a_scan_that_all_have_is_dealt_out_without_losing_a_row(rows: Scan) -> None:
    parts = [DealtOut(rank, 3, (True, False)).part(rows, 0) for rank in range(3)]
    found = []
    for part in parts:
        assert isinstance(part, Scan)
        stream = ScanRows.of(part, "X").draws(unchanged, torch.Generator())
        found += numbers_of(stream(part.size or 0))
    assert sorted(found) == list(range(ROWS))
    assert DealtOut(1, 3, (True, False)).part(rows, 1) is rows


def test_processes_recognise_the_same_scan(rows: Scan, tmp_path: Path) -> None:
    ranks = Ranks()
    other = scan(str(tmp_path / "part0.npy"))
    assert scan_mark(rows, ranks) == scan_mark(pickle.loads(pickle.dumps(rows)), ranks)
    assert (
        len({scan_mark(each, ranks) for each in (rows, other, rows.shard(0, 2))}) == 3
    )
    assert scan_mark(np.zeros((3, 2)), ranks) == ""


def test_a_loader_that_deals_rows_out_itself_is_left_alone() -> None:
    samples = TensorDataset(torch.zeros(8, 2))
    plain = DataLoader(samples, batch_size=2)
    own = [
        DataLoader(samples, sampler=DistributedSampler(samples, 2, rank))
        for rank in range(2)
    ]
    marks = [scan_mark(each, Ranks(rank, 2)) for rank, each in enumerate(own)]
    assert marks[0] != marks[1]
    assert scan_mark(plain, Ranks(0, 2)) == scan_mark(plain, Ranks(1, 2)) != ""


def test_a_stream_goes_on_elsewhere_and_in_another_order(rows: Scan) -> None:
    stream = ScanRows.of(rows, "X").draws(unchanged, torch.Generator().manual_seed(0))
    first = numbers_of(stream(100))
    there = pickle.loads(pickle.dumps(stream))
    there.load_state_dict(stream.state_dict())
    assert numbers_of(there(100)) == numbers_of(stream(100))
    other = pickle.loads(pickle.dumps(stream))
    other.begin_anew(1)
    anew = numbers_of(other(100))
    assert anew != first
    assert sorted(anew + numbers_of(other(ROWS - 100))) == list(range(ROWS))


@pytest.fixture
def held(rows: Scan) -> Iterator[Sharded]:
    """A side of which this process, the second of two, holds a scan of a quarter of the rows."""
    HELD.ranks, HELD.held = Ranks(1, 2), {"X": ScanRows.of(rows, "X")}
    yield Sharded.of("X", 2, [3.0 * ROWS, ROWS])
    HELD.ranks, HELD.held = Ranks(), {}


def test_a_rank_draws_its_share_of_a_batch_and_goes_on_where_it_was(
    held: Sharded,
) -> None:
    generator = torch.Generator().manual_seed(0)
    draw = held.draws(unchanged)
    assert draw.state_dict() == {}
    assert len(draw(200, generator)) == 100  # a quarter of 2 x 200
    again = pickle.loads(pickle.dumps(draw))
    again.load_state_dict(draw.state_dict())
    assert numbers_of(again(40, generator)) == numbers_of(draw(40, generator))


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
@pytest.mark.parametrize("shares", [(1.0,), (0.2, 0.8), (0.1, 0.0, 0.9)])
def test_rows_are_dealt_out_in_proportion(n: int, shares: tuple[float, ...]) -> None:
    found = dealt(n, shares)
    assert sum(found) == n
    wanted = torch.tensor(shares, dtype=torch.float64) * n
    assert float((torch.tensor(found) - wanted).abs().max()) <= 1
