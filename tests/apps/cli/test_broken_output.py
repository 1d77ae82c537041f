"""What cannot be printed, drawn or reported loses no fit."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.cli.samples import SMALL, X, Y
from console import run
from fits import quick

from brenier import OptimalTransport, load
from brenier.apps.cli import fit as fit_module
from brenier.apps.cli import main
from brenier.report import figures, plots

LOUD = ["fit", "x.npy", "y.npy", "--out", "m", *SMALL[:-1]]


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str = "") -> int:
        raise BrokenPipeError(32, "Broken pipe")

    flush = write  # type: ignore[assignment]


STREAMS: dict[str, Callable[[], Any]] = {
    "closed": closed,
    "broken": Broken,
    "missing": lambda: None,
}


@pytest.mark.parametrize("stream", STREAMS)
def test_without_standard_error_a_fit_is_saved(
    stream: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save("y.npy", np.vstack([Y, Y[:1] + 1e-9]))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", STREAMS[stream]())
        assert main(LOUD) == 0
        assert main(["info", "none"]) == 2  # whose message nobody sees
    assert load("m").n_features_in_ == 2
    assert Path("m/report.md").exists()


@pytest.mark.parametrize("stream", STREAMS)
def test_without_standard_error_an_estimator_is_fitted(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", STREAMS[stream]())
        ot = quick(max_steps=2, verbose=True).fit(X, Y)
    assert len(ot.history_) == 2


@pytest.mark.parametrize("stream", STREAMS)
def test_without_standard_output_a_fit_is_saved_with_its_report(
    stream: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", STREAMS[stream]())
        code = main([*LOUD, "--quiet"])
    assert code == (0 if stream == "missing" else 1)
    assert load("m").n_features_in_ == 2
    assert Path("m/report.md").exists()
    assert not Path("m/unfinished").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device of Linux")
@pytest.mark.parametrize(
    "output",
    [
        pytest.param("| head -c 0", marks=pytest.mark.slow),
        "> /dev/full",
        pytest.param(">&-", marks=pytest.mark.slow),
    ],
)
def test_shells_are_told_quietly(output: str, model: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    line = f"'{sys.executable}' -m brenier info model {output}"
    finished = subprocess.run(
        line, shell=True, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in finished.stderr
    assert "Exception ignored" not in finished.stderr
    assert finished.stderr.count("\n") == (output == "> /dev/full")


@pytest.mark.parametrize(
    "fault",
    [OSError(28, "No space left on device", "m/report.md"), MemoryError(), KeyError(3)],
    ids=["full", "memory", "other"],
)
def test_a_report_that_fails_is_warned_of(
    fault: Exception, here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(fit_module, "fit_report", fail)
    code, out, err = run(capsys, *LOUD, "--quiet")
    assert code == 0
    assert "Model: m" in out
    assert "Report" not in out
    assert f"warning: the report cannot be written ({type(fault).__name__}" in err
    assert load("m").n_features_in_ == 2


def test_a_figure_that_fails_is_left_out_of_the_report(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(plots, "scatter", fail)
    code, out, err = run(capsys, *LOUD, "--quiet")
    assert code == 0
    assert "Report: m/report.md" in out
    assert "the report lacks scatter.png, which cannot be drawn: RuntimeError" in err
    page = Path("m/report.md").read_text()
    assert "loss.png" in page
    assert "scatter.png" not in page
    assert figures.plots is plots


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
def test_names_that_are_no_text_are_told_with_escapes(here: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    np.save(f"{name}.npy", X)
    command = [sys.executable, "-m", "brenier", "fit", f"{name}.npy", "y.npy"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    finished = subprocess.run(
        [*command, "--out", f"m{name}", *SMALL],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    assert rb"Report: m\udcff\udcfe/report.md" in finished.stdout
    assert isinstance(load(f"m{name}"), OptimalTransport)


@pytest.mark.parametrize("seed", [str(2**70), "-1", str(2**32), "1.5", "x", "9" * 5000])
@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_seeds_that_are_none_are_refused(
    seed: str, command: str, here: Path, capsys: Any
) -> None:
    words = {"fit": ["--out", "m"], "evaluate": []}[command]
    place = [] if command == "fit" else ["model"]
    code, out, err = run(
        capsys, command, *place, "x.npy", "y.npy", *words, "--seed", seed
    )
    assert (code, out) == (2, "")
    assert "--seed" in err
    assert "is no seed; give a whole number from 0 to 4294967295" in err
