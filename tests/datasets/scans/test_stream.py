"""Training draws of a scan: every row once an epoch, shuffled, restored to the bit, two blocks in memory at most."""

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scan_files import ROWS, SOURCES, STREAMED, InOrder, frame, in_parquet, numbers
from torch import Tensor
from torch.utils.data import IterableDataset

from brenier import DataError
from brenier.datasets import ScanRows, ScanStream, scan
from brenier.datasets.scans.blocks import PieceReader, generator_of, shuffled
from brenier.statistics import Weighted


def same(rows: Tensor) -> Tensor:
    return rows


def streamed(source: Any, seed: int = 0, **asked: Any) -> ScanStream:
    """The training draws of a scan of which nothing is held out."""
    rows = ScanRows.of(scan(source, settings=STREAMED, **asked), "X")
    return rows.draws(same, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_comes_once_an_epoch_in_an_order_of_its_own(
    tmp_path: Path, source: Callable[[Path], Any]
) -> None:
    stream = streamed(source(tmp_path))
    epochs = [numbers(stream(ROWS)) for _ in range(3)]
    assert all(sorted(epoch) == list(range(ROWS)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert stream.state_dict()["epoch"] == 2


def test_draws_of_any_size_are_one_order(tmp_path: Path) -> None:
    source = in_parquet(tmp_path)
    whole = numbers(streamed(source)(2 * ROWS))
    stream, parts = streamed(source), []
    for n in (1, 3, 700, 0, 1200, 96):
        parts += numbers(stream(n))
    assert parts == whole


def test_blocks_mix_rows_from_all_over(tmp_path: Path) -> None:
    drawn = np.array(numbers(streamed(in_parquet(tmp_path))(150)))
    assert np.abs(np.diff(drawn)).mean() > ROWS / 8
    spread = np.histogram(drawn, bins=8, range=(0, ROWS))[0]
    assert (spread > 0).sum() >= 3


def test_the_order_is_that_of_the_generator(tmp_path: Path) -> None:
    source = in_parquet(tmp_path)
    first, again, other = (numbers(streamed(source, seed)(300)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("drawn", [0, 137, 200, 950, 1000, 2345])
def test_a_place_is_restored_to_the_bit(
    tmp_path: Path, source: Callable[[Path], Any], drawn: int
) -> None:
    made = source(tmp_path)
    stream = streamed(made)
    stream(drawn)
    state = stream.state_dict()
    assert all(isinstance(value, int) for value in state.values())
    rest = stream(1500)
    other = streamed(made, seed=9)
    other(40)
    other.load_state_dict(state)
    assert other.state_dict() == state
    assert torch.equal(other(1500), rest)


@pytest.mark.parametrize("source", SOURCES)
def test_rows_held_out_are_never_drawn(
    tmp_path: Path, source: Callable[[Path], Any]
) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = ScanRows.of(scan(source(tmp_path), settings=STREAMED), "X")
    rest, (select, certify) = rows.split((28, 20), generator)
    held_out = set(numbers(select.rows)) | set(numbers(certify.rows))
    assert len(held_out) == 48  # of the pool of 300
    drawn = rest.draws(same, generator)(2 * (ROWS - 48))
    times = Counter(numbers(drawn))
    assert times == dict.fromkeys(set(range(ROWS)) - held_out, 2)


# ---- weights


def test_rows_come_in_proportion_to_their_weights_over_blocks(tmp_path: Path) -> None:
    # Weights differ from block to block by tens, so that equal shares of blocks would show.
    made = frame()
    made["w"] = np.where(made.u < 100, 40.0, np.where(made.u < 600, 1.0, 0.0))
    made.to_parquet(tmp_path / "x.parquet", row_group_size=50)
    stream = streamed(tmp_path, columns=["u", "v"], weight="w")
    drawn = np.array(numbers(stream(60_000)))
    assert drawn.max() < 600
    expected = np.where(np.arange(600) < 100, 40.0, 1.0) / 4500
    found = np.bincount(drawn, minlength=600) / len(drawn)
    assert np.abs(found / expected - 1)[:100].max() < 0.1
    assert abs(found[100:].sum() / expected[100:].sum() - 1) < 0.05
    assert len(np.unique(drawn)) == 600  # the light ones come up too


def test_systematic_draws_are_exact_but_for_rounding() -> None:
    weights = torch.rand(50, dtype=torch.float64) + 0.1
    found = Weighted(torch.arange(50.0).unsqueeze(1), weights)
    counts = torch.zeros(50)
    for block in range(400):
        order = shuffled(found, 0.3, 1, 0, block).order
        once = torch.bincount(order, minlength=50).double()
        share = weights * len(order) / weights.sum()
        assert ((once - share).abs() < 1).all()
        counts += once
    expected = 400 * weights / 0.3  # 130 to 1,500, with a deviation of 10 at most
    assert (counts - expected).abs().max() < 40


def test_equal_weights_are_none(tmp_path: Path) -> None:
    made = frame()
    made["w"] = 3.0
    made.to_parquet(tmp_path / "x.parquet", row_group_size=64)
    drawn = numbers(streamed(tmp_path, columns=["u", "v"], weight="w")(ROWS))
    assert sorted(drawn) == list(range(ROWS))


# ---- memory, and reading in the background


class Watched:
    """Reads blocks and counts how many are alive."""

    def __init__(self, reader: PieceReader) -> None:
        self.reader, self.most = reader, 0
        self.alive: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def read(self, seed: int, epoch: int, block: int) -> Weighted | None:
        found = self.reader.read(seed, epoch, block)
        if found is not None:
            self.alive.add(found.rows)
            self.most = max(self.most, len(self.alive))
        return found


def test_two_blocks_are_in_memory_at_most(tmp_path: Path) -> None:
    found = scan(in_parquet(tmp_path), settings=STREAMED)
    reader = Watched(PieceReader(found, {}, ()))
    stream = ScanStream(reader, 0, same, "X")
    for _ in range(60):
        stream(70)
        time.sleep(0.002)  # so that the thread in the background runs ahead if it can
    assert reader.most == 2
    blocks = stream.rows_read / STREAMED.block_rows(found.row_bytes)
    assert blocks > 15


class Slow:
    """Blocks of one row each, whose reading is told of, and waits to be let go."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.go = threading.Event()
        self.began = threading.Event()

    def read(self, seed: int, epoch: int, block: int) -> Weighted | None:
        self.asked.append(block)
        self.began.set()
        if block:
            assert self.go.wait(30)
        return Weighted(torch.full((10, 1), float(block)))


def test_the_next_block_is_read_while_this_one_is_given_out() -> None:
    reader = Slow()
    stream = ScanStream(reader, 0, same, "X")
    assert stream(3).unique().tolist() == [0]
    while len(reader.asked) < 2:
        time.sleep(0.001)
    assert stream(7).unique().tolist() == [0]  # though the next one is not there yet
    assert reader.asked == [0, 1]
    reader.go.set()
    assert stream(1).tolist() == [[1.0]]


def test_faults_in_the_background_are_raised_where_rows_are_drawn(
    tmp_path: Path,
) -> None:
    source = in_parquet(tmp_path)
    rows = ScanRows.of(scan(source, settings=STREAMED), "X")
    for place in range(3):
        (tmp_path / f"{place}.parquet").write_bytes(b"lost")
    stream = rows.draws(same, torch.Generator())
    with pytest.raises(DataError, match=r"parquet: cannot be read"):
        stream(10)


# ---- rows in an order of their own


class Once(IterableDataset[Tensor]):
    """Rows that can be gone through a few times only."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __iter__(self) -> Any:
        self.times -= 1
        return iter(InOrder()) if self.times >= 0 else iter(())


def test_what_ends_is_begun_again_unless_it_is_empty_then() -> None:
    stream = streamed(InOrder())
    assert sorted(numbers(stream(3 * ROWS))) == sorted(3 * list(range(ROWS)))
    empty = streamed(Once(3))
    assert len(empty(ROWS)) == ROWS
    with pytest.raises(DataError, match="Once: gives no rows in a whole pass"):
        empty(1)


class Ragged(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        yield from torch.zeros(1024, 2)
        yield from torch.zeros(1024, 1)


def test_items_of_another_shape_are_named() -> None:
    with pytest.raises(DataError, match="a batch has no '1', which the first had"):
        streamed(Ragged())(2000)


def test_generators_of_numbers_differ() -> None:
    drawn = {
        int(torch.randint(2**40, (1,), generator=generator_of(*told)))
        for told in ((0, 0), (0, 1), (1, 0), (0, 0, 1), (2**31, 5))
    }
    assert len(drawn) == 5
