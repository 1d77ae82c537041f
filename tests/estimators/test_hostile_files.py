"""Whatever is in the place of a model or a run is refused by name or gives finite numbers, in little time and room."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import pytest
import torch
from fits import X, Y, quick
from mutations import BYTES, KINDS, Files, become, bounded, change, signed
from safetensors.torch import load as read
from safetensors.torch import save

from brenier import (
    BrenierError,
    DenseICNN,
    MeanPotential,
    OptimalTransport,
    Potential,
    load,
)
from brenier.potentials import EntropicPotential
from brenier.training import checkpoint

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="pipes and alarms of POSIX"
)

LABELS = np.arange(400) % 2
CONDITIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "labels": {"source_labels": LABELS, "target_labels": LABELS[:300]},
    "covariates": {
        "source_covariates": np.linspace(0, 1, 400),
        "target_covariates": np.linspace(0, 1, 300),
    },
}
FITS: dict[str, tuple[str, dict[str, Any]]] = {
    "free": ("plain", {}),
    "convex": ("plain", {"potential": "convex", "dtype": "float64"}),
    "residual": ("plain", {"potential": "residual"}),
    "mean": ("plain", {"n_networks": 2}),
    "plan": ("plain", {}),
    "start": ("plain", {"settings": {"z_threshold": np.inf}}),
    "labels": ("labels", {}),
    "covariates": ("covariates", {}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """The files of one model of every kind."""
    found = {}
    for name, (kind, parameters) in FITS.items():
        folder = tmp_path_factory.mktemp(name)
        ot = quick(max_steps=3, **parameters).fit(X, Y, **CONDITIONS[kind])
        if name == "plan":
            ot.map_.network = with_plan()
        ot.save(folder)
        found[name] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found


def with_plan() -> Potential:
    """The mean of two networks and a plan between some rows."""
    x, z = (torch.from_numpy(side[:20]).float() for side in (X, Y))
    plan = EntropicPotential.of_potentials(
        (x, torch.zeros(20)), (z, torch.ones(20)), 0.5
    )
    networks = [DenseICNN(2, (8, 4)) for _ in range(2)]
    return MeanPotential([*networks, plan], [0.25, 0.25, 0.5])


def weights_of(files: Files) -> str:
    return next(name for name in files if name.endswith(".safetensors"))


def with_description(files: Files, told: dict[str, Any]) -> Files:
    return {**files, "model.json": signed(told)}


def altered_header(rng: random.Random, files: Files) -> Files:
    """Weights whose header says something else, with every checksum put right."""
    name = weights_of(files)
    content = files[name]
    length = int.from_bytes(content[:8], "little")
    header = change(rng, json.loads(content[8 : 8 + length]))
    text = json.dumps(header).encode()
    length = rng.choice((len(text), len(text), len(text), 2**62, 0, len(text) + 1))
    made = length.to_bytes(8, "little") + text + content[8 + len(text) :]
    digest = hashlib.sha256(made).hexdigest()
    other = f"weights-{digest[:16]}.safetensors"
    told = json.loads(files["model.json"])
    told |= {"weights": other, "weights_sha256": digest}
    return {"model.json": signed(told), other: made}


def altered_numbers(rng: random.Random, files: Files) -> Files:
    """Weights with a number that is none, with every checksum put right."""
    tensors = read(files[weights_of(files)])
    name = rng.choice(sorted(tensors))
    part = tensors[name].clone()
    part.view(-1)[rng.randrange(part.numel())] = rng.choice(
        (float("nan"), float("inf"), float("-inf"))
    )
    made = save({**tensors, name: part})
    digest = hashlib.sha256(made).hexdigest()
    other = f"weights-{digest[:16]}.safetensors"
    told = json.loads(files["model.json"])
    told |= {"weights": other, "weights_sha256": digest}
    return {"model.json": signed(told), other: made}


def mutated(rng: random.Random, models: dict[str, Files], name: str) -> Files:
    """The files of a model with one thing wrong."""
    files = models[name]
    told = json.loads(files["model.json"])
    action = rng.random()
    if action < 0.4:
        for _ in range(rng.choice((1, 1, 2))):
            told = change(rng, told)
        return with_description(files, told)
    if action < 0.6:
        which = rng.choice(sorted(files))
        return {**files, which: rng.choice(BYTES)(rng, files[which])}
    if action < 0.7:
        return {**files, "model.json": json.dumps(change(rng, told)).encode()}
    if action < 0.85:
        return altered_header(rng, files)
    if action < 0.9:
        return altered_numbers(rng, files)
    other = models[rng.choice(sorted(models))]
    swapped = rng.choice(
        (
            {**files, "model.json": other["model.json"]},
            {**files, weights_of(files): other[weights_of(other)]},
            with_description(
                files,
                {**json.loads(other["model.json"]), "weights": weights_of(files)},
            ),
        )
    )
    return {**swapped}


def use(folder: Path, kind: str) -> None:
    """Load a model and move points there and back: all numbers are finite."""
    ot = load(folder)
    few = {name: rows[:5] for name, rows in CONDITIONS[kind].items()}
    own = {key.removeprefix("source_"): few[key] for key in few if "source" in key}
    moved = ot.transform(X[:5], **own)
    assert np.isfinite(moved).all()
    ot.map_.max_steps = min(ot.map_.max_steps, 500)  # which may well be large
    assert np.isfinite(ot.inverse_transform(moved, **own)).all()
    repr(ot)


def try_all(
    count: int, seed: int, use: Callable[[], object], outcome: mutations.Outcome
) -> None:
    """Use what is there, once; only errors of this library may come of it."""
    began = time.perf_counter()
    try:
        with bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use()
        taken = True
    except BrenierError as error:
        taken = not str(error)
    except BaseException as error:
        error.add_note(f"mutation {count} of seed {seed}")
        raise
    outcome.count(taken, time.perf_counter() - began)


@pytest.mark.parametrize(
    ("count", "seed"),
    [(150, 0), pytest.param(8_000, 1, marks=pytest.mark.slow)],
    ids=["short", "full"],
)
def test_whatever_is_made_of_a_model(
    count: int, seed: int, models: dict[str, Files], tmp_path: Path
) -> None:
    names, outcome = sorted(models), mutations.Outcome()
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        name = names[i % len(names)]
        mutations.write(tmp_path / "model", mutated(rng, models, name))
        try_all(i, seed, lambda n=name: use(tmp_path / "model", FITS[n][0]), outcome)  # type: ignore[misc]
    logging.getLogger(__name__).info(outcome.check())
    assert outcome.refused > count / 2
    assert outcome.taken


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["description", "weights", "run"])
def test_what_is_no_file_is_refused_at_once(
    kind: str, which: str, models: dict[str, Files], run_file: bytes, tmp_path: Path
) -> None:
    outcome = mutations.Outcome()
    if which == "run":
        path = tmp_path / checkpoint.FILE
        path.write_bytes(run_file)
        become(path, kind)
        try_all(0, 0, lambda: resume(tmp_path), outcome)
    else:
        mutations.write(tmp_path / "model", models["free"])
        name = "model.json" if which == "description" else weights_of(models["free"])
        become(tmp_path / "model" / name, kind)
        try_all(0, 0, lambda: use(tmp_path / "model", "plain"), outcome)
    outcome.check()
    assert outcome.taken == (kind == "link")
    assert outcome.longest < 5


# ---- runs


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The run file of a fit that was stopped at its first evaluation."""
    folder = tmp_path_factory.mktemp("run")

    class StopError(Exception):
        pass

    save = checkpoint.save_run

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        raise StopError

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(checkpoint, "save_run", save_and_stop)
        with pytest.raises(StopError):
            quick(max_steps=2, checkpoint=str(folder)).fit(X[:60], Y[:60])
    return (folder / checkpoint.FILE).read_bytes()


def resume(folder: Path) -> OptimalTransport:
    """Go on with a run."""
    ot = quick(max_steps=2, checkpoint=str(folder)).fit(X[:60], Y[:60])
    assert np.isfinite(ot.transform(X[:5])).all()
    return ot


def mutated_run(rng: random.Random, content: bytes) -> bytes:
    """A run file with one thing wrong."""
    action = rng.random()
    if action < 0.6:
        return rng.choice(BYTES[:-1])(rng, content)
    body = content[: content.index(checkpoint.SEAL)]
    if action < 0.7:  # a whole pickle without a checksum
        return rng.choice((body, mutations.flip(rng, body)))
    state = torch.load(io.BytesIO(body), weights_only=True)
    owner = rng.choice((state, state["run"], state["run"]["counters"]))
    name = rng.choice(sorted(owner))
    if rng.random() < 0.3:
        del owner[name]
    else:
        owner[name] = rng.choice(mutations.VALUES)
    file = io.BytesIO()
    torch.save(state, file)
    return checkpoint.sealed(file.getvalue())


@pytest.mark.parametrize(
    ("count", "seed"),
    [(60, 0), pytest.param(2_000, 1, marks=pytest.mark.slow)],
    ids=["short", "full"],
)
def test_whatever_is_made_of_a_run(
    count: int, seed: int, run_file: bytes, tmp_path: Path
) -> None:
    outcome = mutations.Outcome()
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        content = mutated_run(rng, run_file)
        mutations.write(tmp_path / "run", {checkpoint.FILE: content})
        try_all(i, seed, lambda: resume(tmp_path / "run"), outcome)  # type: ignore[arg-type, return-value]
    logging.getLogger(__name__).info(outcome.check())
    assert outcome.refused > count / 2


@pytest.mark.parametrize("seed", range(3))
def test_every_flipped_bit_of_a_run_is_seen(
    seed: int, run_file: bytes, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        changed = bytearray(run_file)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        (tmp_path / checkpoint.FILE).write_bytes(changed)
        with pytest.raises(BrenierError, match=r"run\.pt: .*(damaged|version|delete)"):
            checkpoint.read_run(tmp_path)
