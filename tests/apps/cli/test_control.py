"""`brenier control`: what is trained, written, resumed, reported again and refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from console import run

from brenier.control import PROBLEMS, ControlTask, FeedbackPolicy

SMALL = ["--steps", "3", "--width", "8", "--batch-size", "4", "--quiet"]
TWO = [*SMALL, "--max-steps", "2"]


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have no figures, which take most of the time."""
    monkeypatch.setattr("brenier.report.control.control_figures", lambda *_: [])


def test_control_writes_a_policy_and_a_report(capsys: Any) -> None:
    words = ["control", "bicycle", "--out", "deep/run", "--agents", "2"]
    code, out, err = run(capsys, *words, "--layout", "grid", "--set", "target=2, 1.5", *TWO)  # fmt: skip
    assert (code, err) == (0, "")
    assert re.match(r"Mean cost \S+ ± \S+ from 256 fresh initial states: ", out)
    assert "Smallest distance between two agents: " in out
    assert out.endswith("Policy: deep/run\nReport: deep/run/report.md\n")
    policy = FeedbackPolicy.load("deep/run")
    fields = policy.problem.config()
    assert fields["agents"] == 2
    assert fields["layout"] == "grid"
    assert fields["target"] == (2, 1.5)
    assert policy.history[-1]["step"] == 2
    names = {path.name for path in Path("deep/run").iterdir()}
    assert {"policy.json", "report.md", "paths.png", "paths.gif"} < names
    assert "unfinished" not in names
    page = Path("deep/run/report.md").read_text()
    assert "| target | 2.0, 1.5 |" in page
    assert "| batch_size | 4 |" in page


@pytest.mark.usefixtures("without_figures")
def test_info_tells_of_a_policy(capsys: Any) -> None:
    words = ["control", "double-integrator", "--out", "run", *TWO, "--seed", "5"]
    assert run(capsys, *words, "--rule", "implicit", "--scheme", "midpoint")[0] == 0
    code, out, err = run(capsys, "info", "run")
    assert (code, err) == (0, "")
    told = re.sub(" +", " ", out)
    for line in (
        *("problem double-integrator", "rule implicit", "scheme midpoint"),
        *("random state 5", "stopped budget", "dim 1"),
    ):
        assert f" {line}\n" in told
    code, out, _ = run(capsys, "info", "run", "--json")
    facts = json.loads(out)
    assert facts["problem"] == "double-integrator"
    assert facts["fields"]["steps"] == 3
    assert facts["settings"]["batch_size"] == 4


@pytest.mark.usefixtures("without_figures")
def test_a_saved_policy_is_reported_on_again(capsys: Any) -> None:
    words = ["control", "quadratic-integrator", "--out", "run", *TWO, "--json"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    first = json.loads(out)
    page = Path("run/report.md").read_text()
    Path("run/report.md").unlink()
    code, out, _ = run(capsys, "control", "run", "--report", "--json")
    assert code == 0
    assert json.loads(out) == first
    assert Path("run/report.md").read_text() == page
    code, out, _ = run(capsys, "control", "run", "--report", "--out", "o", "--seed", "3")  # fmt: skip
    assert code == 0
    assert "Report: o/report.md" in out
    assert not Path("o/policy.json").exists()


def test_the_list_holds_every_problem_with_its_fields(capsys: Any) -> None:
    code, out, err = run(capsys, "control", "list")
    assert (code, err) == (0, "")
    for name in PROBLEMS:
        assert re.search(rf"^{name}: \S.+\n    horizon=", out, re.MULTILINE)
    code, out, _ = run(capsys, "control", "list", "--json")
    listed = json.loads(out)
    assert list(listed) == list(PROBLEMS)
    assert listed["quadrotor"]["fields"]["layout"] == "point"


def stop_at_step(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Have a training interrupted at the beginning of a step."""
    begun = ControlTask.begin_step
    steps = 0

    def interrupted(task: ControlTask, progress: float) -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            raise KeyboardInterrupt
        begun(task, progress)

    monkeypatch.setattr(ControlTask, "begin_step", interrupted)


@pytest.mark.usefixtures("without_figures")
def test_an_interrupted_run_is_resumed_to_the_bit(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["control", "quadratic-integrator", *SMALL, "--max-steps", "40", "--out"]
    with monkeypatch.context() as patch:
        stop_at_step(patch, 30)
        code, out, err = run(capsys, *words, "run", "--restart")
    assert (code, out) == (130, "")
    assert re.search(r"Interrupted; the run is kept at step 2\d in run/unfinished", err)
    assert f"goes on with: brenier {' '.join(words)} run\n" in err
    assert not Path("run/policy.json").exists()
    code, _, err = run(capsys, *words, "run", "--seed", "1")
    assert code == 2
    assert "--restart" in err
    code, _, err = run(capsys, *words, "run", "--resume")
    assert code == 0
    assert err.startswith("Resuming the unfinished run in run/unfinished at step 2")
    assert not Path("run/unfinished").exists()
    assert run(capsys, *words, "straight")[0] == 0
    z = torch.ones(3, 1)
    one, other = (FeedbackPolicy.load(name)(z, 0.2) for name in ("run", "straight"))
    assert torch.equal(one, other)


@pytest.mark.usefixtures("without_figures")
def test_a_run_is_discarded_on_request(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["control", "quadratic-integrator", *TWO, "--out", "run"]
    Path("run/unfinished").mkdir(parents=True)
    Path("run/unfinished/run.pt").write_bytes(b"nothing")
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "run.pt" in err
    assert "--restart" in err
    assert run(capsys, *words, "--restart")[0] == 0
    stop_at_step(monkeypatch, 1)
    code, _, err = run(capsys, *words[:-1], "new")
    assert code == 130
    assert "Interrupted" in err


def test_a_policy_is_safe_where_its_report_fails(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brenier.apps.cli.control.control_report", broken)
    code, out, err = run(capsys, "control", "double-integrator", *TWO, "--out", "run")
    assert code == 0
    assert "Policy: run" in out
    assert "warning: the report cannot be written (OSError: [Errno 28]" in err
    assert FeedbackPolicy.load("run").history


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nope"], "problem: there is none named 'nope'; choose one of quadratic-"),
        (["bicycle", "--set", "wheels=2"], "wheels: the problem bicycle has no field"),
        (["regulator", "--agents", "2"], "agents: the problem regulator has no field"),
        (["bicycle", "--set", "radius"], "--set: 'radius' sets nothing"),
        (["bicycle", "--set", "radius=far"], "radius: must be a positive number"),
        (["bicycle", "--set", "radius=NaN"], "radius: must be a positive number"),
        (["bicycle", "--set", "target=1,2,3"], "target: must be 2 finite numbers"),
        (["bicycle", "--layout", "ring"], "layout: unknown, got 'ring'"),
        (["quadrotor", "--agents", "2", "--set", "agents=3"], "--set agents: is given"),
        (["bicycle", "--horizon", "0"], "horizon: must be a positive number, got 0"),
        (["bicycle", "--steps", "0"], "steps: must be a whole number above zero"),
        (["bicycle", "--agents", "two"], "--agents"),
        (["bicycle", "--max-steps", "0"], "max_steps: must be a whole number"),
        (["bicycle", "--max-time", "-1"], "max_time: must be a positive number"),
        (["bicycle", "--width", "0"], "width: must be a whole number"),
        (["bicycle", "--learning-rate", "nan"], "learning_rate: must be a positive"),
        (["bicycle", "--scheme", "leapfrog"], "--scheme"),
        (["bicycle", "--rule", "guess"], "--rule"),
        (["bicycle", "--device", "nowhere"], "'nowhere' is not usable here"),
        (["bicycle", "--resume"], "there is no unfinished run in m/unfinished"),
        (["regulator", "--set", "A=[[1,2]]"], "A: "),
        (["nowhere", "--report"], "nowhere"),
        (["list", "--max-steps", "3"], "--max-steps: list trains nothing"),
        (["m2", "--report", "--restart"], "--restart: --report trains nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_by_name(words: list[str], told: str, capsys: Any) -> None:
    code, out, err = run(capsys, "control", *words, "--out", "m")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert "Traceback" not in err
    assert not Path("m").exists()


@pytest.mark.usefixtures("without_figures")
def test_what_is_missing_or_in_the_way_is_told(capsys: Any) -> None:
    code, _, err = run(capsys, "control", "bicycle")
    assert code == 2
    assert "--out: is missing" in err
    Path("file").write_text("")
    code, _, err = run(capsys, "control", "bicycle", "--out", "file")
    assert code == 2
    assert "--out: file is a file" in err
    assert run(capsys, "control", "double-integrator", *TWO, "--out", "run")[0] == 0
    code, _, err = run(capsys, "control", "run", "--report", "--out", "file")
    assert code == 2
    assert "--out: file is a file" in err
    code, _, err = run(capsys, "control", "run", "--out", "new")
    assert code == 2
    assert "run: holds a saved policy; add --report" in err
    next(Path("run").glob("*.safetensors")).write_bytes(b"nothing")
    for words in (["control", "run", "--report"], ["info", "run"]):
        code, _, err = run(capsys, *words)
        assert code == 2
        assert "run" in err
