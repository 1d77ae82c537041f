"""One bar for a whole fit, which names its phase."""

import contextlib
import io

import pytest

from brenier.training import Progress


class Stream(io.StringIO):
    """A standard error that is a terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def shown(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    seconds: float,
    visible: bool = True,
) -> str:
    """What is written of a fit whose phases take so many seconds each."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    stream = Stream(terminal)
    with contextlib.redirect_stderr(stream), Progress(visible) as progress:
        for name in ("reading", "preparing"):
            progress.phase(name)
            now[0] += seconds
        progress.training(10, 3)
        now[0] += seconds
        progress.at(4)
        progress.tell("J=1")
        progress.phase("judging")
        now[0] += seconds
        progress.phase("measuring")
    return stream.getvalue()


def test_a_terminal_shows_every_phase_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True, seconds=0.0)
    for name in ("reading", "preparing", "training", "judging", "measuring"):
        assert f"{name}: " in text
    assert "3/10" in text
    assert "J=1" in text


def test_a_log_has_a_line_for_a_phase_after_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown(monkeypatch, terminal=False, seconds=11.0).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *("preparing", "training", "training", "measuring")
    ]
    assert "4/10" in lines[-1]


def test_a_log_says_nothing_of_quick_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False, seconds=1.0) == ""


def test_nothing_is_shown_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=True, seconds=11.0, visible=False) == ""
