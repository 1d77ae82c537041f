"""Settings by name: each reaches the fit, what is no setting is refused with a hint, and they are kept and saved."""

import collections
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, X, Y, quick, same, weights
from sklearn.base import clone

from brenier import Budget, DataError, FitSettings, OptimalTransport, load
from brenier.datasets import Rows, SplitSettings
from brenier.estimators import pipeline
from brenier.estimators.options import Options
from brenier.estimators.overrides import check_settings, known_fields
from brenier.estimators.parameters import Parameters
from brenier.estimators.settings import PipelineSettings
from brenier.training import Settings
from brenier.training.settings import cosine_schedule
from brenier.transport.dual import DualSettings

FACTS = {
    "rows",
    "dim",
    "steps",
    "seconds",
    "bounded_below",
}  # of a fit, which are no settings


def groups() -> dict[str, Any]:
    """All settings, group by group, and those of the budget."""
    whole = FitSettings()
    found = {
        field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)
    }
    return {**found, "budget": Budget(1000, 2)}


def options(rows: int = 1000, **parameters: Any) -> Options:
    """What a fit of so many rows is told."""
    zeros = torch.zeros(rows, 2, dtype=torch.float64)
    told = Parameters(**OptimalTransport(**parameters).get_params(deep=False))
    return told.options(Rows(zeros, "X"), Rows(zeros, "Y"), None)


# ---- names


def test_every_name_is_that_of_one_field() -> None:
    """`known_fields` and overriding by name rely on it."""
    names = collections.Counter(
        field.name for group in groups().values() for field in dataclasses.fields(group)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_every_field_is_known_with_its_default() -> None:
    expected = {
        field.name: getattr(group, field.name)
        for group in groups().values()
        for field in dataclasses.fields(group)
        if field.name not in FACTS
    }
    assert known_fields() == expected
    assert FACTS.isdisjoint(known_fields())


def test_settings_are_frozen() -> None:
    for group in (FitSettings(), *groups().values()):
        field = dataclasses.fields(group)[0]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(group, field.name, None)


def test_overrides_go_to_the_group_that_has_the_field() -> None:
    found = FitSettings().overridden(
        {"ema_decay": 0.5, "held_out_rows": 7, "z_threshold": 1.0, "max_deferrals": 2}
    )
    assert found == FitSettings(
        training=Settings(ema_decay=0.5),
        split=SplitSettings(held_out_rows=7),
        pipeline=PipelineSettings(z_threshold=1.0),
        dual=DualSettings(max_deferrals=2),
    )
    assert FitSettings().overridden({}) == FitSettings()


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ema_dekay", "did you mean ema_decay"),
        ("evaluate_ever", "did you mean evaluate_every"),
        ("long_step", "did you mean long_steps"),
        ("helt_out_rows", "did you mean held_out_rows"),
        ("qqqqqqqq", "see `brenier.FitSettings`"),
        ("rows", r"did you mean|see `brenier\.FitSettings`"),
        (3, "see `brenier.FitSettings`"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: Any, hint: str) -> None:
    ot = quick(settings={"ema_decay": 0.9, name: 1})
    with pytest.raises(DataError, match=f"^settings: there is no field {name!r}; .*"):
        ot.fit(X, Y)
    with pytest.raises(DataError, match=hint):
        ot.fit(X, Y)
    assert not hasattr(ot, "map_")


WRONG: list[tuple[str, Any, str]] = [
    *(
        ("ema_decay", value, "a number")
        for value in ("0.9", None, -0.1, math.nan, True)
    ),
    *(("patience", value, "a whole number") for value in (1.5, "3", None, -1, True, 0)),
    *(("calibrated", value, "True or False") for value in (1, "yes", None)),
    *(("evaluate_every", value, "1 or more") for value in (0, -5, 2.0)),
    *(("held_out_one_in", value, "3 or more") for value in (0, 1, 2)),
    *(("max_deferrals", value, "0 or more") for value in (-1, 0.5)),
    *(("max_time", value, "a number, not") for value in ("soon", -1, [1])),
    *(("largest_batch", value, "1 or more") for value in ("big", 0, 1.5)),
    *(("optimizer", value, "a function") for value in ("adam", 3)),
    *(("schedule", value, "a function") for value in ("cosine", None, 3)),
    *(
        ("log_concentration_bounds", value, "two numbers, the smaller one first")
        for value in (3.0, None, "ab", [1], (2.0, 1.0), (1.0, "b"))
    ),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_values_of_another_kind_are_refused(
    name: str, value: Any, expected: str
) -> None:
    ot = quick(settings={name: value})
    with pytest.raises(
        DataError, match=f"^settings: {name} must be .*{expected}.*, got"
    ):
        ot.fit(X, Y)
    assert not hasattr(ot, "map_")


@pytest.mark.parametrize("settings", [3, "ema_decay", ["ema_decay"], {"ema_decay"}])
def test_what_is_no_mapping_is_refused(settings: Any) -> None:
    with pytest.raises(DataError, match=r"^settings: must be a mapping from names"):
        quick(settings=settings).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patience", np.int64(3)),
        ("ema_decay", np.float32(0.5)),
        ("ema_decay", 0),
        ("z_threshold", math.inf),
        ("max_deferrals", 0),
        ("long_steps", 0),
        ("max_time", None),
        ("largest_batch", None),
        ("optimizer", None),
        ("log_concentration_bounds", [-1.0, 2]),
        ("calibrated", False),
    ],
)
def test_values_of_the_kind_of_the_default_are_taken(name: str, value: Any) -> None:
    assert check_settings({name: value}) == {name: value}


def test_every_default_is_of_its_own_kind() -> None:
    assert check_settings(known_fields()) == known_fields()
    assert check_settings(None) == {}


# ---- that they reach the fit


def test_nothing_overridden_is_what_parameters_and_budget_say() -> None:
    told = options(max_steps=50, learning_rate=0.1, patience=3).settings
    assert told == FitSettings(
        training=Settings(
            max_steps=50,
            learning_rate=0.1,
            patience=3,
            largest_batch=125,
            evaluate_every=20,
        ),
        dual=DualSettings(
            bandwidth=Budget(1000, 2).bandwidth("affine"), fresh_rows=50_000
        ),
    )
    assert options(settings={}).settings == options().settings


@pytest.mark.parametrize("name", sorted(set(known_fields())))
def test_every_field_of_a_group_is_what_was_given(name: str) -> None:
    default: Any = known_fields()[name]
    given: dict[type, Any] = {bool: False, int: 7, float: 0.625, tuple: (-1.0, 1.0)}
    value = given.get(type(default), 5 if default is None else cosine_schedule)
    if name == "optimizer":
        value = torch.optim.SGD
    told = options(settings={name: value}).settings
    for group in dataclasses.fields(told):
        own = getattr(told, group.name)
        if name in {field.name for field in dataclasses.fields(own)}:
            assert getattr(own, name) == value
            return
    assert name in {field.name for field in dataclasses.fields(Budget)}


def test_fields_of_the_budget_change_what_it_chooses() -> None:
    assert options(settings={"min_steps": 500}).settings.training.max_steps == 500
    assert options(settings={"short_reuse": 9}).settings.dual.max_reuse == 9
    assert options(settings={"max_passes": 2}).settings.dual.fresh_rows == 2000
    few = options(settings={"steps_between_evaluations_few": 3}).settings
    assert few.training.evaluate_every == 3
    batch = options(settings={"first_batch": 33, "rows_per_batch_row": 2}).settings
    assert (batch.training.batch_size, batch.training.largest_batch) == (33, 500)


def test_a_field_set_wins_over_the_budget_and_the_parameters() -> None:
    told = options(
        max_steps=9,
        batch_size=64,
        bandwidth=0.5,
        patience=4,
        settings={
            **{"max_steps": 20, "batch_size": 32, "bandwidth": 0.25, "patience": 2},
            **{"short_reuse": 9, "max_reuse": 5},
        },
    ).settings
    training = told.training
    assert (training.max_steps, training.batch_size, training.patience) == (20, 32, 2)
    assert (told.dual.bandwidth, told.dual.max_reuse) == (0.25, 5)


@pytest.mark.parametrize("every", [1, 5, 20])
def test_evaluate_every_is_the_distance_of_rows_of_the_history(every: int) -> None:
    ot = quick(patience=50, settings={"evaluate_every": every}).fit(X, Y)
    assert [row["step"] for row in ot.history_] == list(range(0, 21, every))


def test_max_steps_of_settings_is_what_is_taken() -> None:
    ot = quick(max_steps=20, settings={"max_steps": 7}).fit(X, Y)
    assert ot.diagnostics_["steps"] == 7
    assert same(weights(ot), weights(quick(max_steps=7).fit(X, Y)))


def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs that fits train from here on."""
    seen, original = list[Any](), pipeline.train

    def train(run: Any, *arguments: Any) -> None:
        original(run, *arguments)
        seen.append(run)

    monkeypatch.setattr(pipeline, "train", train)
    return seen


def test_ema_decay_bounds_the_average(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the average is the weights themselves."""
    seen = runs(monkeypatch)
    for decay in (0.0, 0.999):
        quick(settings={"ema_decay": decay}).fit(*PAIR)
    alike = [
        same(dict(run.average.state_dict()), dict(run.task.model.state_dict()))
        for run in seen
    ]
    assert alike == [True, False]
    values = [run.history[-1]["value"] for run in seen]
    assert values[0] != values[1]


@pytest.mark.slow
def test_layers_of_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = runs(monkeypatch)
    long = {"many_rows": 100, "long_steps": 10, "long_layers": 6, "narrow_width": 1}
    for told in ({}, long, {**long, "longer_steps": 20, "longer_layers": 8}):
        quick(settings=told).fit(*PAIR)
    assert [len(run.task.model.hidden) for run in seen] == [3, 6, 8]


@pytest.mark.filterwarnings("ignore:max_time")  # so few seconds allow few steps
def test_two_networks_from_so_many_seconds_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = runs(monkeypatch)
    sooner = {"two_networks_seconds": 0.2, "two_networks_steps": 1}
    for told in ({}, sooner):
        ot = quick(max_steps=3, max_time=0.2, settings=told)
        ot.fit(*PAIR)
    assert [len(run.task.members()) for run in seen] == [1, 2]


@pytest.mark.parametrize("rows", [5, 25])
def test_so_many_rows_are_held_out(rows: int) -> None:
    ot = quick(settings={"held_out_rows": rows}).fit(*PAIR)
    assert ot.map_.distance().rows == (rows, rows)
    assert ot.diagnostics_["round_trip_rows"] == rows
    labels = np.arange(1000) % 2
    ot.set_params(settings={"held_out_rows": 2 * rows})
    ot.fit(*PAIR, source_labels=labels, target_labels=labels)
    assert ot.distance(1).rows == (rows, rows)


def test_one_row_in_so_many_is_held_out() -> None:
    ot = quick(settings={"held_out_one_in": 4}).fit(X, Y)
    assert ot.map_.distance().rows == (100, 75)


@pytest.mark.slow
def test_a_threshold_beyond_all_evidence_keeps_the_affine_map() -> None:
    sure = quick(max_steps=60).fit(*PAIR)
    assert sure.diagnostics_["selected"] == "network"
    never = quick(max_steps=60, settings={"z_threshold": math.inf}).fit(*PAIR)
    assert never.diagnostics_["selected"] == "affine"


def test_the_inverse_is_solved_to_a_share_of_tol() -> None:
    ot = quick(tol=1e-2, max_steps=1, settings={"inverse_tol_factor": 0.5}).fit(X, Y)
    assert ot.map_.tol == 5e-3


def test_knots_and_rows_of_coordinates_are_settings() -> None:
    told = {"knots_of_one": 5, "coordinate_rows": 50}
    c = np.linspace(0, 1, 400)
    ot = quick(max_steps=1, settings=told).fit(X, Y, source_covariates=c)
    assert len(ot.map_.conditions.knots) == 5
    few, many = (
        quick(max_steps=1, settings={"coordinate_rows": rows, "refit_rows": 10**6})
        .set_params(start="identity")
        .fit(X, Y)
        .map_.coordinates.source_mean
        for rows in (50, 1000)
    )
    assert not torch.equal(few, many)


# ---- that they are kept


def test_settings_are_a_parameter_like_others() -> None:
    told = {"ema_decay": 0.5, "long_steps": 10}
    ot = quick(settings=told)
    assert ot.settings is told
    assert ot.get_params()["settings"] == told
    copy = clone(ot)
    assert copy.settings == told
    assert ot.set_params(settings=None).settings is None
    assert OptimalTransport().settings is None


def test_what_is_given_is_not_changed() -> None:
    told = {"held_out_rows": 20}
    quick(max_steps=1, settings=told).fit(X, Y)
    assert told == {"held_out_rows": 20}


def test_settings_are_saved(tmp_path: Path) -> None:
    told = {
        "ema_decay": 0.5,
        "long_steps": 10,
        "calibrated": False,
        "z_threshold": math.inf,
        "max_time": None,
    }
    ot = quick(settings=told).fit(X, Y)
    ot.save(tmp_path)
    again = load(tmp_path)
    assert again.settings == told
    assert same(weights(again.fit(X, Y)), weights(ot))


def test_settings_that_json_cannot_hold_are_left_out(tmp_path: Path) -> None:
    ot = quick(max_steps=1, settings={"schedule": lambda progress: 1.0}).fit(X, Y)
    ot.save(tmp_path)
    assert load(tmp_path).settings is None


def test_settings_of_training_are_those_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = runs(monkeypatch)
    quick(max_steps=3, settings={"clip": 0.5, "skip_fraction": 0.0}).fit(X, Y)
    assert seen[0].settings.clip == 0.5
    assert seen[0].task.settings.skip_fraction == 0.0
