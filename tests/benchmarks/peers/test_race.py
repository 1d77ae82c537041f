"""Jobs and answers that pass between the benchmark and the workers of other libraries."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness.machine import ROOT
from benchmarks.harness.rows import read
from benchmarks.peers import drifts, environments, race
from brenier.datasets import translation_pair

POINTS = 200


def test_an_answer_is_scored_here(tmp_path: Path) -> None:
    pair = translation_pair(2)
    race.write_arrays(tmp_path, pair, 1000, POINTS, 0)
    arrays = {name: np.load(tmp_path / f"{name}.npy") for name in race.ARRAYS}
    assert [len(arrays[name]) for name in race.ARRAYS] == [1000, 1000, POINTS, POINTS]
    shift = 3 / np.sqrt(2)
    np.savez(tmp_path / "answer.npz", forward=arrays["x"] + shift, backward=arrays["z"])
    (tmp_path / "answer.json").write_text(json.dumps({"steps": 7}))
    found = race.read_answer(tmp_path, pair, POINTS, 0)
    assert found["forward_uvp"] < 1e-8
    assert found["backward_uvp"] == pytest.approx(100 * 9 / 2, rel=1e-3)
    assert found["steps"] == 7
    np.savez(
        tmp_path / "answer.npz",
        forward=np.full_like(arrays["x"], np.nan),
        backward=arrays["z"],
    )
    assert np.isnan(race.read_answer(tmp_path, pair, POINTS, 0)["forward_uvp"])


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"benchmarks\.peers\.own: FileNotFoundError"
    ):
        race.run_worker(
            tmp_path, race.Recipe("brenier", "m", {"preset": "default"}), 1.0, 1, 0
        )


def test_every_peer_has_methods_and_an_environment() -> None:
    known = {environments.OWN, *environments.NAMES}
    assert set(race.WORKERS) == known - set(drifts.PEERS)
    for peer in race.WORKERS:
        names = [recipe.name for recipe in race.recipes(64, [peer])]
        assert names
        assert len(set(names)) == len(names)
    assert len(list(race.recipes(64, ["ott-jax"]))) > len(
        list(race.recipes(2, ["ott-jax"]))
    )


def test_methods_are_chosen_by_words_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(race, "run_worker", lambda *arguments: None)
    monkeypatch.setattr(race, "read_answer", lambda *arguments: {"forward_uvp": 1.0})
    monkeypatch.setattr(environments, "missing", lambda peer: "")
    arguments = [
        "--quick",
        "--pairs",
        "tails",
        "--dims",
        "2",
        "--out",
        str(tmp_path),
        "--threads",
        "1",
        "--methods",
    ]
    race.main([*arguments, "entropic", "rate 0.002"])
    rows = [
        line.split(" | ")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("peers | ")
    ]
    assert [row[2] for row in rows] == [
        "ott-jax, expectile dual, 4 x 128, rate 0.002, 2 s",
        "ott-jax, W2 dual, rate 0.002, 2 s",
        "POT, entropic map, 2 s",
    ]
    with pytest.raises(SystemExit):
        race.main([*arguments, "sinkhorn"])
    assert (
        "no method is called 'sinkhorn'; they are brenier, default, brenier, published settings, ott-jax"
        in capsys.readouterr().err
    )


def test_a_missing_environment_is_skipped_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    arguments = [
        "--quick",
        "--pairs",
        "tails",
        "--peers",
        "ott-jax",
        "--out",
        str(tmp_path),
        "--threads",
        "1",
    ]
    race.main(arguments)
    told = "skipped: ott-jax has no environment; make it with: python -m benchmarks.peers.environments ott-jax"
    assert told in capsys.readouterr().out
    assert read(tmp_path / "peers.jsonl") == []


def test_workers_of_peers_need_nothing_of_this_library() -> None:
    told = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'brenier', 'sklearn')))"
    )
    program = f"{told}; import benchmarks.peers.ott_jax, benchmarks.peers.pot, benchmarks.discrete"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_pairs_for_other_costs_go_to_methods_that_know_the_cost() -> None:
    flags = race.ARGUMENTS.parse(
        None, ["--costs", "power 1.5", "sparse", "--peers", "brenier"]
    )
    flags.ready = ["brenier", "ott-jax"]
    found = {choice.name: choice.value for choice in race.problems(flags)}
    assert list(found) == ["power 1.5 d=2", "power 1.5 d=16", "sparse d=30"]
    flags.wanted = {
        recipe.name
        for recipe in race.cost_recipes(found["sparse d=30"].cost, flags.ready)
    }
    told = [
        choice.settings["cost"] for choice in race.methods(flags, found["sparse d=30"])
    ]
    assert told == [{"name": "elastic", "sparsity": 0.25}] * len(flags.wanted)
    few = race.ARGUMENTS.parse(
        None, ["--costs", "power 1.5", "--dims", "2", "--peers", "brenier"]
    )
    assert [choice.name for choice in race.problems(few)] == ["power 1.5 d=2"]


def test_without_costs_the_pairs_are_those_of_the_squared_distance() -> None:
    flags = race.ARGUMENTS.parse(None, ["--pairs", "tails", "--peers", "brenier"])
    found = [choice.name for choice in race.problems(flags)]
    assert found == ["tails d=2", "tails d=16", "tails d=64"]
