"""Our own baselines beside those of ott-jax: the same settings, the numbers of a row, and when two agree."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import agreement, environments, own, race
from benchmarks.peers.worker import Job
from brenier.baselines import BASELINES, LearnedBaseline


def errors(forward: float, steps: int) -> dict[str, Any]:
    return {
        "forward_uvp": forward,
        "backward_uvp": 2.0,
        "steps": steps,
        "fit_seconds": 1.0,
        "library": "some",
    }


def test_our_settings_are_those_of_the_recipes() -> None:
    found = list(agreement.twins(race.EXPECTILE))
    assert len(found) == len({twin.name for twin in found}) == 4
    for twin in found:
        told: dict[str, Any] = dict(twin.ours)
        kind = BASELINES[told.pop("baseline")]
        assert issubclass(kind, LearnedBaseline)
        settings = dataclasses.replace(kind.presets["published"], **told)
        settings.check()
        assert settings.learning_rate == twin.theirs["rate"]
        if twin.theirs["kind"] == "expectile":
            assert settings.expectile == twin.theirs["expectile"]
            assert settings.weight == twin.theirs["weight"]
            assert list(settings.widths) == twin.theirs["widths"]


def test_ours_is_fitted_for_their_seconds_and_for_their_steps() -> None:
    asked: list[dict[str, Any]] = []

    def ours(told: dict[str, Any]) -> Mapping[str, Any]:
        asked.append(told)
        return errors(1.0 + len(asked), told.get("max_steps", 500))

    twin = agreement.Twin("m", {"kind": "w2"}, {"baseline": "w2ot"})
    row = agreement.compare(twin, lambda told: errors(2.5, 70), ours)
    assert asked == [{"baseline": "w2ot"}, {"baseline": "w2ot", "max_steps": 70}]
    assert (row["forward_uvp"], row["steps"]) == (2.0, 500)
    assert (row["peer_forward_uvp"], row["peer_steps"]) == (2.5, 70)
    assert (row["same_steps_forward_uvp"], row["same_steps_steps"]) == (3.0, 70)


@pytest.mark.parametrize(
    ("ours", "agreed"), [(0.76, True), (1.3, True), (1.4, False), (0.7, False)]
)
def test_agreement_is_a_third_either_way(ours: float, agreed: bool) -> None:
    class Known(dict[str, float]):
        pass

    row: Any = Known(
        same_steps_forward_uvp=ours,
        peer_forward_uvp=1.0,
        same_steps_backward_uvp=2.0,
        peer_backward_uvp=2.0,
        peer_steps=3,
    )
    assert agreement.agrees(row) is agreed
    assert agreement.compared(row)
    assert not agreement.compared(Known())  # type: ignore[arg-type]


def test_our_worker_fits_a_baseline_by_name() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(300, 2)).astype(np.float32) for _ in "xy")
    told = {"baseline": "enot", "widths": [8, 8], "max_steps": 3, "batch_size": 16}
    far = x[:40].astype(float)
    job = Job(told, 9.0, 1, 0, x, y, far, far)
    answer = own.run_baseline(job, dict(told))
    assert answer.forward.shape == answer.backward.shape == (40, 2)
    assert answer.numbers["steps"] == 3
    told.pop("max_steps")
    timed = own.run_baseline(dataclasses.replace(job, seconds=0.3), told)
    assert timed.numbers["steps"] > 3
    assert timed.numbers["fit_seconds"] < 3


def test_it_needs_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    with pytest.raises(SystemExit):
        race.main(["--agreement", "--quick", "--threads", "1"])
    assert "--agreement: needs the environment" in capsys.readouterr().err


def test_rows_of_both_kinds_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(race, "run_worker", lambda *arguments: None)
    monkeypatch.setattr(race, "read_answer", lambda *arguments: errors(1.0, 7))
    monkeypatch.setattr(environments, "missing", lambda peer: "")
    arguments = ["--quick", "--pairs", "tails", "--dims", "2", "--threads", "1"]
    race.main([*arguments, "--out", str(tmp_path), "--agreement"])
    shown = capsys.readouterr().out
    assert shown.count("| tails d=2 | expectile dual, 4 x 128, rate") == 4
    assert "ours, same steps" in shown
    assert "of it, worst 1 % of rows" not in shown
