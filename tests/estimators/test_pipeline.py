"""The one pipeline of every kind of fit: what it gives back, warns of and leaves behind, however it ends."""

import functools
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, X, Y, quick, same, weights

from brenier import (
    ConditionalMap,
    ConvergenceWarning,
    ModelFileError,
    Quadratic,
    TransportMap,
)
from brenier.datasets import labelled, ring_classes
from brenier.estimators import pipeline, verdict
from brenier.estimators.by_class import ClassPlan
from brenier.estimators.by_covariate import CovariatePlan
from brenier.estimators.plain import PlainPlan
from brenier.training import checkpoint

N = 400
LABELS = {"source_labels": [0, 1] * 500, "target_labels": [0, 1] * 500}
VALUES = np.linspace(0, 1, 1000)
KINDS: dict[str, tuple[dict[str, Any], type]] = {
    "plain": ({}, PlainPlan),
    "by class": (LABELS, ClassPlan),
    "a source for all classes": ({"target_labels": [0, 1] * 500}, ClassPlan),
    "by covariate": (
        {"source_covariates": VALUES, "target_covariates": VALUES},
        CovariatePlan,
    ),
    "a source without covariates": ({"target_covariates": VALUES}, CovariatePlan),
}
EVERY = pytest.mark.parametrize("kind", KINDS)


def rings(name: str, rows: int = N) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
    """Samples of a toy."""
    return labelled(ring_classes(name), rows, torch.Generator().manual_seed(0))


def test_an_interrupted_fit_with_labels_is_resumed_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, z, labels = rings("crossed ring")
    z = z + 0.3 * torch.tanh(8 * z)
    told = {"source_labels": labels, "target_labels": labels}
    whole = quick(max_steps=60).fit(x, z, **told)

    class StopError(Exception):
        pass

    save = checkpoint.save_run

    def stop(folder: str, run: Any, mark: str, seed: int) -> None:
        save(folder, run, mark, seed)
        if run.step >= 40:
            raise StopError

    monkeypatch.setattr(checkpoint, "save_run", stop)
    with pytest.raises(StopError):
        quick(max_steps=60, checkpoint=str(tmp_path)).fit(x, z, **told)
    monkeypatch.setattr(checkpoint, "save_run", save)
    resumed = quick(max_steps=60, checkpoint=str(tmp_path)).fit(x, z, **told)
    assert torch.equal(resumed.transform(x, labels), whole.transform(x, labels))


# ---- what a fit gives back


@EVERY
def test_every_kind_of_fit_has_a_plan(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, plan = KINDS[kind]
    seen, original = list[Any](), plan.prepare  # type: ignore[attr-defined]

    def prepare(self: Any, options: Any, generator: torch.Generator) -> Any:
        seen.append(original(self, options, generator))
        return seen[-1]

    monkeypatch.setattr(plan, "prepare", prepare)
    ot = quick(max_steps=2).fit(*PAIR, **told)
    assert len(seen) == 1
    assert isinstance(ot.map_, TransportMap if kind == "plain" else ConditionalMap)


@EVERY
def test_every_kind_of_fit_says_the_same_things(kind: str) -> None:
    ot = quick(max_steps=2).fit(*PAIR, **KINDS[kind][0])
    assert list(ot.diagnostics_) == [
        *("selected", "stopped", "steps", "rollbacks", "round_trip"),
        *("round_trip_missed", "round_trip_unconverged", "round_trip_rows"),
        *("drawn", "threads", "processes"),
    ]
    assert list(ot.history_[0]) == [
        *("step", "seconds", "value", "standard_error", "evaluations"),
        *("held_out_unconverged", "train_value", "inner_evaluations", "unconverged"),
        *("learning_rate", "rollbacks"),
    ]
    assert ot.diagnostics_["round_trip"] < 1e-2
    assert 0 < ot.diagnostics_["round_trip_rows"] <= 100


def test_rows_that_do_not_come_back_are_warned_about() -> None:
    with pytest.warns(ConvergenceWarning, match="round trip of 100 held-out") as caught:
        ot = quick(max_steps=20, settings={"missed_error": 1e-7}).fit(*PAIR)
    assert "Give more steps, or use potential='convex'" in str(caught[0].message)
    assert ot.diagnostics_["round_trip_missed"] > 0.01
    told = {"missed_error": 1e-7, "max_missed_share": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = quick(max_steps=20, settings=told).fit(*PAIR)
    found = [each.diagnostics_["round_trip_missed"] for each in (ot, again)]
    assert found[0] == found[1]


@EVERY
@pytest.mark.parametrize("start", ["affine", "identity"])
def test_a_network_that_is_no_better_gives_way_to_the_start(
    kind: str, start: str
) -> None:
    ot = quick(max_steps=2, start=start, settings={"z_threshold": np.inf})
    ot.fit(*PAIR, **KINDS[kind][0])
    assert ot.diagnostics_["selected"] == start
    network = ot.map_.network
    assert isinstance(getattr(network, "network", network), Quadratic)


@EVERY
def test_a_network_that_is_better_is_kept(kind: str) -> None:
    ot = quick(max_steps=60).fit(*PAIR, **KINDS[kind][0])
    assert ot.diagnostics_["selected"] == "network"
    network = ot.map_.network
    assert not isinstance(getattr(network, "network", network), Quadratic)


@EVERY
@pytest.mark.slow
def test_a_warm_start_goes_on_in_its_coordinates(kind: str) -> None:
    told = KINDS[kind][0]
    ot = quick(max_steps=60, warm_start=True).fit(*PAIR, **told)
    before, values = ot.map_.coordinates, [row["value"] for row in ot.history_]
    ot.fit(*PAIR, **told)
    assert ot.diagnostics_["selected"] == "network"
    assert same(before.tensors(), ot.map_.coordinates.tensors())
    assert ot.history_[0]["value"] < values[0] - 0.5 * (values[0] - min(values))


@EVERY
def test_the_affine_map_is_refitted_to_all_rows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has been measured: rows that certify take part in nothing before."""
    told, plan = KINDS[kind]
    seen, original = list[Any](), plan.prepare  # type: ignore[attr-defined]

    def prepare(self: Any, options: Any, generator: torch.Generator) -> Any:
        seen.append(original(self, options, generator))
        return seen[-1]

    monkeypatch.setattr(plan, "prepare", prepare)
    ot = quick(max_steps=2, settings={"z_threshold": np.inf}).fit(*PAIR, **told)
    trained, found = seen[0].coordinates, ot.map_.coordinates
    assert not torch.equal(trained.source_mean, found.source_mean)
    if kind == "plain":
        torch.testing.assert_close(
            found.source_mean, torch.from_numpy(PAIR[0]).mean(0), rtol=0, atol=1e-9
        )


# ---- what users must not miss


@EVERY
def test_a_run_that_gave_up_is_warned_about(kind: str) -> None:
    wild = functools.partial(torch.optim.SGD, lr=1e9)
    with pytest.warns(
        ConvergenceWarning,
        match=r"^training gave up after 6 rollbacks: .*; the best map seen is kept",
    ):
        ot = quick(max_steps=60, optimizer=wild).fit(*PAIR, **KINDS[kind][0])
    assert ot.diagnostics_["rollbacks"] == 6
    assert ot.diagnostics_["stopped"].startswith("gave up")
    assert max(row["rollbacks"] for row in ot.history_) <= 6
    condition = {"labels": 0} if "class" in kind else {"covariates": 0.5}
    moved = ot.transform(X, **({} if kind == "plain" else condition))
    assert np.isfinite(moved).all()


def test_how_often_a_run_may_go_back_is_a_setting() -> None:
    wild = functools.partial(torch.optim.SGD, lr=1e9)
    ot = quick(max_steps=60, optimizer=wild, settings={"max_rollbacks": 2})
    with pytest.warns(ConvergenceWarning, match="gave up after 2 rollbacks"):
        ot.fit(*PAIR)


# ---- what is left behind


def children() -> set[str]:
    """The processes that this one has started and that are not gone."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    return {line for line in found.stdout.splitlines() if "ps -o" not in line}


class BrokenError(Exception):
    """What goes wrong in the middle of a run."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("plain", BrokenError),
        ("plain", KeyboardInterrupt),
        ("by class", BrokenError),
        ("by covariate", MemoryError),
    ],
)
def test_a_fault_in_training_leaves_no_processes(
    kind: str, fault: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, threads = list[Any](), torch.get_num_threads()
    before = children()

    def train(run: Any, *_: Any) -> None:
        run.advance()
        seen.extend((run.ranks.size, children() - before))
        raise fault

    monkeypatch.setattr(pipeline, "train", train)
    ot = quick(n_jobs=2, settings={"process_work": 1})
    with pytest.raises(fault):
        ot.fit(*PAIR, **KINDS[kind][0])
    size, started = seen
    assert size == 2
    assert len(started) == 1
    assert children() == before
    assert torch.get_num_threads() == threads
    assert not hasattr(ot, "map_")


def test_after_a_fault_the_same_estimator_fits_as_if_nothing_had_been(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ot, original = quick(n_jobs=2, settings={"process_work": 1}), pipeline.train

    def train(run: Any, *_: Any) -> None:
        run.advance()
        raise BrokenError

    monkeypatch.setattr(pipeline, "train", train)
    with pytest.raises(BrokenError):
        ot.fit(X, Y)
    monkeypatch.setattr(pipeline, "train", original)
    again = ot.set_params(n_jobs=1, settings=None).fit(X, Y)
    assert same(weights(again), weights(quick().fit(X, Y)))


@EVERY
@pytest.mark.slow
def test_a_fault_after_training_keeps_the_unfinished_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = KINDS[kind][0]
    whole = quick(max_steps=30).fit(*PAIR, **told)
    ot = quick(max_steps=30, checkpoint=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(verdict, "improves_on_start", raised)
        with pytest.raises(BrokenError):
            ot.fit(*PAIR, **told)
    assert (tmp_path / checkpoint.FILE).exists()
    assert same(weights(ot.fit(*PAIR, **told)), weights(whole))
    assert not list(tmp_path.iterdir())


def raised(*_: Any) -> Any:
    """Go wrong."""
    raise BrokenError


@EVERY
def test_a_run_of_another_kind_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(verdict, "improves_on_start", raised)
        with pytest.raises(BrokenError):
            quick(max_steps=3, checkpoint=str(tmp_path)).fit(*PAIR, **KINDS[kind][0])
    other = {} if kind != "plain" else LABELS
    with pytest.raises(ModelFileError, match=r"other samples or settings.*delete"):
        quick(max_steps=3, checkpoint=str(tmp_path)).fit(*PAIR, **other)
