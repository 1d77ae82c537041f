"""Discrete maps, and what passes between the benchmark of other libraries and its workers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import discrete, finite
from benchmarks.peers import environments, pot, race
from benchmarks.rows import read
from brenier.datasets import Pair, gaussian_pair, translation_pair
from brenier.metrics import l2_uvp

ROOT = Path(__file__).resolve().parents[2]
POINTS = 200


def samples(pair: Pair, n: int) -> tuple[discrete.Array, discrete.Array]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        draw(n, generator).double().numpy() for draw in (pair.source, pair.target)
    )  # type: ignore[return-value]


# ---- discrete maps


def test_the_exact_plan_of_moved_points_moves_them_and_others() -> None:
    pytest.importorskip("ot")
    x, others = (np.random.default_rng(k).normal(size=(60, 3)) for k in range(2))
    maps = discrete.exact_plan(x, np.random.default_rng(2).permutation(x + 5))
    for points in (x, others):
        np.testing.assert_allclose(maps.forward(points), points + 5)
        np.testing.assert_allclose(maps.backward(points), points - 5)


def test_the_entropic_map_finds_its_own_regularisation_and_is_better_than_the_exact_plan() -> (
    None
):
    pytest.importorskip("ot")
    pair = gaussian_pair(8)
    x, z = samples(pair, 500)
    fresh = pair.source(1000, torch.Generator().manual_seed(1)).double()
    maps = [discrete.entropic_map(x, z, 60, seed=0), discrete.exact_plan(x, z)]
    errors = [
        l2_uvp(torch.from_numpy(m.forward(fresh.numpy())), pair.forward(fresh))
        for m in maps
    ]
    assert errors[0] < errors[1] / 2
    assert maps[0].facts["epsilons_tried"] < len(discrete.EPSILONS)


def test_entropic_potentials_have_the_marginals() -> None:
    pytest.importorskip("ot")
    x, z = samples(gaussian_pair(2), 300)
    distances = discrete.squared_distances(x, z[:200])
    f, g = discrete._sinkhorn(distances, 0.5, None)
    plan = np.exp((f[:, None] + g - distances) / 0.5) / distances.size
    np.testing.assert_allclose(plan.sum(1), 1 / 300, rtol=0.05)
    np.testing.assert_allclose(plan.sum(0), 1 / 200, rtol=0.05)
    value, images = discrete._extend(x, z[:200], g, 0.5)
    np.testing.assert_allclose(value, f, atol=0.05)
    np.testing.assert_allclose(
        images, plan @ z[:200] / plan.sum(1, keepdims=True), atol=1e-8
    )


def test_affine_linear_and_kernel_maps() -> None:
    pytest.importorskip("ot")
    pair = translation_pair(2)
    x, z = samples(pair, 150)
    affine = finite.affine(torch.from_numpy(x), torch.from_numpy(z), 0)
    for maps, worst in (
        (affine, 0.5),
        (discrete.linear_map(x, z), 0.5),
        (discrete.kernel_map(x, z), 1.0),
    ):
        assert (
            np.abs(maps.forward(x) - pair.forward(torch.from_numpy(x)).numpy()).mean()
            < worst
        )
        assert np.abs(maps.backward(maps.forward(x)) - x).mean() < worst


@pytest.mark.parametrize(
    ("seconds", "most", "expected"), [(1e9, 300, 300), (0.0, 300, 100), (1e9, 50, 50)]
)
def test_rows_are_doubled_while_time_lasts(
    seconds: float, most: int, expected: int
) -> None:
    found, n, _ = pot.largest(lambda n: n, 100, most, seconds)
    assert found == n == expected


# ---- jobs and answers


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
    assert set(race.WORKERS) == {environments.OWN, *environments.NAMES}
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
    monkeypatch.setattr(
        race, "measure", lambda folder, recipe, *rest: {"forward_uvp": 1.0}
    )
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


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(SystemExit, match=r"ott-jax, pot, not nobody"):
        environments.main(["nobody"])


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
