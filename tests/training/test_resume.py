"""What a progress bar writes where standard error is no terminal, by a clock that the steps move."""

import contextlib
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from brenier import Loss, Run, Settings
from brenier.training import train
from brenier.training.progress import LogProgress, progress_bar

sys.path.insert(0, str(Path(__file__).parent))
from tasks import Regression

INTERVAL = 10.0  # seconds


class Log(io.StringIO):
    """A standard error that notes what was written when."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.now, self.terminal = 1000.0, terminal
        self.began = self.now
        self.written: list[tuple[float, str]] = []

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.written.append((self.now - self.began, text))
        return super().write(text)

    def times(self) -> list[float]:
        return [moment for moment, _ in self.written]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr("tqdm.std.time", lambda: log.now)
    return log


class Slow(Regression):
    """A regression whose steps take so many seconds each."""

    def __init__(self, log: Log, seconds: Sequence[float]) -> None:
        super().__init__(torch.Generator().manual_seed(0))
        self.log, self.seconds = log, iter(seconds)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        yield from super().losses(rows, rate)
        self.log.now += next(self.seconds)


def trained(log: Log, seconds: Sequence[float], progress: bool = True) -> None:
    task = Slow(log, seconds)
    settings = Settings(max_steps=len(seconds), evaluate_every=5, batch_size=8)
    run = Run(task, settings, task.generator)
    with contextlib.redirect_stderr(log):
        train(run, progress=progress)


def check(log: Log, longest_step: float) -> None:
    """Whole lines, none too soon, none later than the step allows during which it is due."""
    for _, text in log.written:
        assert text.endswith("\n")
        assert text.count("\n") == 1
        assert "step" in text
        assert "loss=" in text
    for before, after in itertools.pairwise([0.0, *log.times()]):
        assert INTERVAL <= after - before < INTERVAL + longest_step


@pytest.mark.parametrize(
    ("seconds", "lines"),
    [
        ([0.25] * 240, 6),
        ([1.0] * 35, 3),
        ([7.0] * 10, 5),
        ([0.25] * 120 + [1.0] * 60, 9),
        ([2.0] * 10 + [0.25] * 200, 7),
    ],
    ids=["fast", "steady", "slow", "slower and slower", "faster and faster"],
)
def test_a_log_has_whole_lines_one_every_ten_seconds(
    seconds: list[float], lines: int, log: Log
) -> None:
    trained(log, seconds)
    check(log, max(seconds) + 1e-6)
    assert len(log.written) == lines


@pytest.mark.parametrize("seconds", [[], [0.1] * 99, [1.0] * 9])
def test_nothing_is_written_in_the_first_ten_seconds(
    seconds: list[float], log: Log
) -> None:
    trained(log, seconds)
    assert not log.written


def test_nothing_is_written_unless_asked_for(log: Log) -> None:
    trained(log, [5.0] * 10, progress=False)
    assert not log.written


def test_a_log_is_written_by_steps_alone(log: Log) -> None:
    """The thread of tqdm that draws bars anew when they are late passes over those that look at every step."""
    with contextlib.redirect_stderr(log), progress_bar(100, 0, shown=True) as bar:
        for _ in range(50):
            log.now += 1.0
            bar.update()
            assert bar.miniters <= 1


def test_bars_that_have_ended_leave_their_place_to_others(log: Log) -> None:
    for _ in range(2):
        with contextlib.redirect_stderr(log), progress_bar(10, 0, shown=True) as bar:
            assert bar.pos == 0
            log.now += 11.0
            bar.update()
        assert bar not in tqdm._instances  # type: ignore[attr-defined]
    assert len(log.written) == 2


def test_a_terminal_has_a_bar_that_is_drawn_at_once(log: Log) -> None:
    log.terminal = True
    with contextlib.redirect_stderr(log), progress_bar(10, 0, shown=True) as bar:
        assert not isinstance(bar, LogProgress)
        assert log.times() == [0.0] * len(log.written) != []


def test_a_program_without_standard_error_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    generator = torch.Generator().manual_seed(0)
    run = Run(Regression(generator), Settings(max_steps=3), generator)
    train(run)
    assert run.step == 3
