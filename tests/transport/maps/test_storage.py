"""Saved models: exactly what was saved or a named error, and a failed save changes nothing."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import X, Y, quick, same, weights

from brenier import (
    DataError,
    DenseICNN,
    GradientStep,
    MeanPotential,
    ModelFileError,
    OptimalTransport,
    Potential,
    Quadratic,
    ResidualPotential,
    TransportMap,
    load,
)
from brenier.model_files import digest_of
from brenier.potentials import EntropicPotential, MaxAffine
from brenier.transport.maps import load_map, save_map

POTENTIALS: dict[str, Callable[[], Potential]] = {
    "free": lambda: DenseICNN(2, (8, 6)),
    "convex": lambda: DenseICNN(
        2, (8, 6), convex=True, activation="softplus", eps=0.01
    ),
    "residual": lambda: ResidualPotential(2, 8, 1, activation="tanh"),
    "weighted mean": lambda: MeanPotential(
        [DenseICNN(2, (8, 4)), ResidualPotential(2, 8)], [0.25, 0.75]
    ),
    "mean": lambda: MeanPotential([DenseICNN(2, (8, 4)), ResidualPotential(2, 8)]),
    "quadratic": lambda: Quadratic(
        2, torch.tensor([[2.0, 0.5], [0.5, 1.0]]), torch.ones(2)
    ),
}


def new_map(potential: Potential, **settings: Any) -> TransportMap:
    for parameter in potential.parameters():
        parameter.data += 0.1 * torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(0)
        ).to(parameter)
    return TransportMap(potential, **settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", POTENTIALS)
def test_a_map_comes_back_to_the_bit(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    saved = new_map(
        POTENTIALS[name]().to(dtype), method=GradientStep(), tol=1e-4, max_steps=77
    )
    save_map(tmp_path / "a" / "b", saved, {"note": [1, "two"]})
    loaded, description = load_map(tmp_path / "a" / "b")
    assert type(loaded.network) is type(saved.network)
    assert loaded.network.config() == saved.network.config()
    assert same(dict(loaded.network.state_dict()), dict(saved.network.state_dict()))
    assert same(loaded.coordinates.tensors(), saved.coordinates.tensors())
    assert (loaded.method, loaded.tol, loaded.max_steps) == (
        saved.method,
        saved.tol,
        saved.max_steps,
    )
    assert loaded.held_out_distance is None
    assert loaded.start_rows is None
    weighted = name == "weighted mean"  # which 0.1 would read as a plain one
    assert description["format"] == (2 if weighted else 1)
    assert description["note"] == [1, "two"]
    assert np.array_equal(loaded(X), saved(X))


def test_a_model_is_two_files_with_a_checksum(tmp_path: Path) -> None:
    for seed in (0, 1):
        quick(max_steps=2, random_state=seed).fit(X[:50], Y[:50]).save(tmp_path)
        description = json.loads((tmp_path / "model.json").read_text())
        content = (tmp_path / description["weights"]).read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["model.json", description["weights"]]
        )
        assert description["weights_sha256"] == hashlib.sha256(content).hexdigest()
        assert description["weights_sha256"].startswith(description["weights"][8:24])


def test_few_samples_are_inside(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5000, 2))
    quick(max_steps=2, settings={"z_threshold": 0}).fit(x, x + 1).save(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < x.nbytes


def test_what_cannot_be_saved_is_not_half_saved(tmp_path: Path) -> None:
    class Own(Quadratic):
        pass

    same_name = type("DenseICNN", (Quadratic,), {})
    for potential in (Own(2), same_name(2)):
        with pytest.raises(
            DataError, match=r"^potential: \w+ cannot be rebuilt.*state_dict"
        ):
            save_map(tmp_path / "model", TransportMap(potential), {})
    assert not (tmp_path / "model").exists()


def test_functions_among_the_parameters_are_left_out(tmp_path: Path) -> None:
    parameters = {
        "optimizer": torch.optim.AdamW,
        "random_state": np.random.RandomState(0),
        "scale": [1.0, 2.0],
    }
    ot = quick(
        lambda d, generator: DenseICNN(d, (8,), generator=generator),
        max_steps=2,
        **parameters,
    ).fit(X, Y)
    ot.save(tmp_path)
    again = load(tmp_path)
    defaults = OptimalTransport().get_params()
    for name in ("potential", "optimizer", "random_state"):
        assert getattr(again, name) == defaults[name]
    assert again.scale == [1.0, 2.0]
    assert np.array_equal(again.transform(X), ot.transform(X))


# ---- folders that are not what was saved


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    quick(max_steps=2).fit(X, Y).save(folder)
    return folder


def description_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.json").read_text())


def describe(folder: Path, signed: bool = True, **changes: Any) -> None:
    """Change a description, with a checksum that fits if it is signed."""
    description = {**description_of(folder), **changes}
    claimed = description.pop("sha256")
    description["sha256"] = digest_of(description) if signed else claimed
    (folder / "model.json").write_text(json.dumps(description))


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    def damage(folder: Path) -> None:
        path = next(folder.glob(name))
        path.write_bytes(change(path.read_bytes()))

    return damage


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (
        shutil.rmtree,
        r"model\.json: not found; give the folder that `save` wrote",
    ),
    "a file": (become_a_file, r"model\.json: cannot be read"),
    "no description": (
        lambda folder: (folder / "model.json").unlink(),
        r"model\.json: not found; give",
    ),
    "description is a folder": (
        lambda folder: become_a_folder(folder / "model.json"),
        r"model\.json: cannot be read",
    ),
    "empty description": (
        rewrite("model.json", lambda content: b""),
        r"model\.json: is truncated.*save the model again",
    ),
    "half a description": (
        rewrite("model.json", lambda content: content[: len(content) // 2]),
        "is truncated.*save",
    ),
    "nearly a description": (
        rewrite("model.json", lambda content: content[:-1]),
        "is truncated.*save the model again",
    ),
    "binary": (
        rewrite("model.json", lambda content: b"\xff\xfe\x00"),
        "is truncated or not a model description",
    ),
    "a list": (
        rewrite("model.json", lambda content: b"[1, 2]"),
        "is truncated or not a model description",
    ),
    "no format": (
        rewrite("model.json", lambda content: b'{"sha256": "0"}'),
        "is truncated or not a model description",
    ),
    "newer": (
        lambda folder: describe(folder, format=4),
        "has format 4, this brenier reads up to 3; upgrade brenier",
    ),
    "altered": (
        lambda folder: describe(folder, signed=False, tol=1.0),
        "was altered after it was saved.*save the model",
    ),
    "no weights": (
        lambda folder: next(folder.glob("*.safetensors")).unlink(),
        "weights are missing.*restore the folder",
    ),
    "empty weights": (
        rewrite("*.safetensors", lambda content: b""),
        "weights are truncated or were altered.*save",
    ),
    "short weights": (
        rewrite("*.safetensors", lambda content: content[:-1]),
        "weights are truncated or were altered",
    ),
    "other weights": (
        rewrite(
            "*.safetensors", lambda content: content[:-1] + bytes([content[-1] ^ 1])
        ),
        "weights are truncated or were altered",
    ),
    "unknown potential": (
        lambda folder: describe(folder, potential={"class": "X", "config": {}}),
        "do not fit together",
    ),
    "other dimension": (
        lambda folder: describe(
            folder, potential={"class": "Quadratic", "config": {"dim": 3}}
        ),
        "do not fit together.*save the model again",
    ),
    "other precision": (
        lambda folder: describe(folder, dtype="nonsense"),
        "do not fit together",
    ),
    "unknown method": (
        lambda folder: describe(folder, method={"class": "minimise", "config": {}}),
        "do not fit together",
    ),
    "unknown setting": (
        lambda folder: describe(
            folder, method={"class": "LBFGS", "config": {"speed": 1}}
        ),
        "do not fit together",
    ),
    "no estimator": (
        lambda folder: describe(folder, parameters=None),
        "holds no estimator.*give a folder",
    ),
}


@pytest.mark.parametrize("k", [1, 7])
def test_kept_rows_come_back_to_the_bit(k: int, tmp_path: Path) -> None:
    rows = torch.randn(k, 2, generator=torch.Generator().manual_seed(1))
    saved = new_map(POTENTIALS["free"](), start_rows=rows)
    save_map(tmp_path, saved, {})
    loaded, description = load_map(tmp_path)
    assert isinstance(loaded, TransportMap)
    assert loaded.start_rows is not None
    assert (description["start_rows"], description["format"]) == (k, 2)
    assert torch.equal(loaded.start_rows, rows)
    assert np.array_equal(loaded.inverse(Y), saved.inverse(Y))


@pytest.mark.parametrize("wrong", [2, 10**15, 0, -1, "3", True, None])
def test_kept_rows_are_as_many_as_described(wrong: Any, tmp_path: Path) -> None:
    save_map(tmp_path, new_map(DenseICNN(2, (8,)), start_rows=torch.ones(3, 2)), {})
    describe(tmp_path, start_rows=wrong)
    with pytest.raises(ModelFileError, match=r"do not fit together.*start_rows"):
        load_map(tmp_path)


def test_kept_rows_are_finite(tmp_path: Path) -> None:
    rows = torch.tensor([[0.0, torch.nan]])
    save_map(tmp_path, new_map(DenseICNN(2, (8,)), start_rows=rows), {})
    with pytest.raises(ModelFileError, match="start_rows: holds NaN or inf"):
        load_map(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        *([0.5], [0.5, 0.4], [1.0, 0.0], [-1.0, 2.0], [0.5, None], ["a", "b"], [], {}),
        *(5, 0, True, "ab", "", [float("nan"), 0.5], [[0.5], [0.5]], [10**400, 0.5]),
    ],
    ids=str,
)
def test_weights_of_members_are_checked(wrong: Any, tmp_path: Path) -> None:
    save_map(tmp_path, new_map(POTENTIALS["weighted mean"]()), {})
    described = description_of(tmp_path)["potential"]
    describe(tmp_path, potential={**described, "weights": wrong})
    with pytest.raises(ModelFileError, match="do not fit together"):
        load_map(tmp_path)


@pytest.mark.parametrize("wrong", [0, -1.0, "1", None, True, float("inf"), 10**400])
@pytest.mark.parametrize("name", ["EntropicPotential", "MaxAffine"])
def test_temperatures_of_plans_are_checked(
    name: str, wrong: Any, tmp_path: Path
) -> None:
    points = torch.ones(3, 2), torch.zeros(3)
    made: dict[str, Potential] = {
        "EntropicPotential": EntropicPotential.of_potentials(points, points, 0.5),
        "MaxAffine": MaxAffine.of_plan(*points, 0.5),
    }
    save_map(tmp_path, TransportMap(made[name]), {})
    described = description_of(tmp_path)["potential"]
    config = {**described["config"], "temperature": wrong}
    describe(tmp_path, potential={**described, "config": config})
    with pytest.raises(ModelFileError, match=r"do not fit together.*temperature"):
        load_map(tmp_path)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "negative tol": ({"tol": -1.0}, "tol: must be a finite number"),
    "endless tol": ({"tol": 10**400}, "tol: must be a finite number"),
    "text for tol": ({"tol": "1"}, "tol: must be a finite number"),
    "half a step": ({"max_steps": 0.5}, "max_steps: must be a whole number"),
    "truth for steps": ({"max_steps": True}, "max_steps: must be a whole number"),
    "integer precision": ({"dtype": "int8"}, "dtype: must be one of"),
    "a list for dtype": ({"dtype": []}, "(dtype: must|unhashable)"),
    "huge memory": (
        {"method": {"class": "BFGS", "config": {"memory": 10**9}}},
        "method: memory: must be a whole number",
    ),
    "NaN for shrink": (
        {"method": {"class": "BFGS", "config": {"shrink": float("nan")}}},
        "method: shrink: must be a finite number",
    ),
    "no method": ({"method": {"class": "Rule", "config": {}}}, "unknown method"),
    "40 GB": (
        {"potential": {"class": "Quadratic", "config": {"dim": 10**5}}},
        "do not fit together",
    ),
    "no end of layers": (
        {"potential": {"class": "ResidualPotential", "config": {"layers": 10**9}}},
        "potential: layers: must be a whole number",
    ),
    "no end of networks": (
        {"potential": {"mean": [{"class": "Quadratic", "config": {}}] * 10**4}},
        "potential: networks: must be",
    ),
    "a way out of the folder": ({"weights": "../x.safetensors"}, "no file of ours"),
    "text for a distance": (
        {"held_out": {"w2": "1"}},
        "held_out: w2 cannot be '1'",
    ),
    "two names": ({"features": ["a", "b", "c"]}, "features: 3 names for 2 features"),
    "numbers for names": ({"features": [1, 2]}, "features: must be a list of names"),
    "a record of text": ({"history": ["a"]}, "holds no estimator"),
    "other parameters": ({"parameters": {"tol": -1}}, "holds no estimator.*tol"),
    "no diagnostics": ({"diagnostics": 1}, "diagnostics: must be a mapping"),
    "no format": ({"format": 1.5}, "not a model description"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_checked_though_the_checksum_fits(
    name: str, model: Path, tmp_path: Path
) -> None:
    changes, message = FIELDS[name]
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    describe(folder, **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize("folder", [None, 5, ["a"], b"none"])
def test_what_is_no_path_is_refused(folder: Any) -> None:
    with pytest.raises(DataError, match=r"^folder: must be the path"):
        load(folder)


@pytest.mark.parametrize("folder", ["a\0b", "\udcff", "x" * 300])
def test_what_is_no_folder_is_not_found(folder: Any) -> None:
    with pytest.raises(ModelFileError, match=r"not found|cannot be read"):
        load(folder)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_is_refused_by_name_and_left_alone(
    name: str, model: Path, tmp_path: Path
) -> None:
    damage, message = DAMAGE[name]
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    damage(folder)
    before = contents(folder)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder))
    assert contents(folder) == before


@pytest.mark.parametrize("share", np.linspace(0.01, 0.99, 15))
@pytest.mark.parametrize("name", ["model.json", "*.safetensors"])
def test_no_single_altered_byte_goes_unseen(
    name: str, share: float, model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    path = next(folder.glob(name))
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0x15
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        load(folder)


def test_a_map_alone_is_no_estimator(tmp_path: Path) -> None:
    save_map(tmp_path, TransportMap(Quadratic(2)), {})
    with pytest.raises(ModelFileError, match="holds no estimator"):
        load(tmp_path)


@pytest.mark.parametrize("device", ["nonsense", 1.5])
def test_loading_to_no_device_is_refused(device: Any, model: Path) -> None:
    with pytest.raises(DataError, match=r"^device: "):
        load(model, device=device)


# ---- saves that fail


def contents(folder: Path) -> dict[str, bytes]:
    paths = folder.iterdir() if folder.is_dir() else ()
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def failing(
    monkeypatch: pytest.MonkeyPatch, owner: Any, function: str, at: int, fault: OSError
) -> None:
    """Let call number `at` of a function fail; a write leaves half its bytes."""
    original, calls = getattr(owner, function), [0]

    def call(*arguments: Any, **settings: Any) -> Any:
        calls[0] += 1
        if calls[0] != at:
            return original(*arguments, **settings)
        if function == "write_bytes":
            original(arguments[0], arguments[1][: len(arguments[1]) // 2])
        raise fault

    monkeypatch.setattr(owner, function, call)


FAULTS = [
    (Path, "write_bytes", OSError(errno.ENOSPC, "No space left on device")),
    (os, "fsync", OSError(errno.EIO, "Input/output error")),
    (os, "replace", OSError(errno.EROFS, "Read-only file system")),
    (tempfile, "mkstemp", PermissionError(errno.EACCES, "Permission denied")),
]


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    ("owner", "function", "fault"), FAULTS, ids=[fault[1] for fault in FAULTS]
)
@pytest.mark.parametrize("there", [True, False], ids=["over a model", "anew"])
def test_a_failed_save_leaves_what_was_there(
    there: bool,
    owner: Any,
    function: str,
    fault: OSError,
    at: int,
    model: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "copy"
    if there:
        shutil.copytree(model, folder)
    before, ot = contents(folder), quick(max_steps=2).fit(X + 1, Y)
    with pytest.MonkeyPatch.context() as monkeypatch:
        failing(monkeypatch, owner, function, at, fault)
        with pytest.raises(type(fault), match=str(fault.strerror)):
            ot.save(folder)
    after = contents(folder)
    assert before.items() <= after.items()
    assert not [name for name in after if name.endswith(".tmp")]
    if there:
        assert same(weights(load(folder)), weights(load(model)))
    else:
        with pytest.raises(ModelFileError, match="not found"):
            load(folder)
    ot.save(folder)
    assert len(contents(folder)) == 2
    assert same(weights(load(folder)), weights(ot))
