"""How the seconds of a fit are shared out, by a clock that the test moves."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, quick

from brenier import ConvergenceWarning, OptimalTransport, Quadratic
from brenier.estimators import samples
from brenier.estimators.pace import Pace
from brenier.estimators.plan import RoundTripRows
from brenier.statistics import some_of
from brenier.training import Clock, Progress

LABELS, VALUES = [0, 1] * 500, np.linspace(0, 1, 1000)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "by class": {"source_labels": LABELS, "target_labels": LABELS},
    "by covariate": {"source_covariates": VALUES, "target_covariates": VALUES},
}
EVERY = pytest.mark.parametrize("kind", KINDS)


class Time:
    """A source of time that goes on as it is told, and by so many seconds whenever it is asked."""

    def __init__(self, per_question: float = 0.0) -> None:
        self.time, self.per_question = 0.0, per_question

    def __call__(self) -> float:
        self.time += self.per_question
        return self.time


def paced(limit: float | None = 100.0, **facts: Any) -> tuple[Pace, Time]:
    """The pace of a fit that has so many seconds, and its time."""
    time = Time()
    return Pace(limit, Clock(time), **facts), time


# ---- what is shared out


def test_without_a_limit_nothing_is_left_out_or_timed() -> None:
    pace, time = paced(None, evaluation=1.0, per_row=10.0)
    time.time += 1e6
    assert pace.first_batch(1024) == 1024
    assert pace.selected_rows(8192) == 8192
    assert pace.rows(8192, 0.1, "measured") == 8192
    assert pace.affords(1e9, 0.1, "refitted")
    assert pace.training_seconds(5.0, 10_000, 5000) is None
    assert pace.diagnostics() == {}
    assert pace.left == math.inf


def test_training_has_what_preparation_leaves_less_the_reserve() -> None:
    pace, time = paced(evaluation=1e-4, per_row=10.0)
    time.time += 15.0
    # 1,000 rows of twice 10 evaluations, and a second for the rest, with a fifth for safety; 500 rows are evaluated.
    reserve = 1.2 * (1000 * 2e-3 + 1.0) + 500 * 1e-3
    assert pace.reserve(1000, 500) == pytest.approx(reserve)
    expected = 7.0 + (100.0 - 15.0) - reserve
    assert pace.training_seconds(7.0, 1000, 500) == pytest.approx(expected)


def test_decompositions_are_reserved_for() -> None:
    pace, time = paced()
    with pace.timed_coordinates():
        time.time += 2.0
    assert pace.reserve(1000, 500) == pytest.approx(1.2 * (6 * 2.0 + 1.0))


def test_the_conclusion_has_a_fifth_at_most() -> None:
    pace, _ = paced(evaluation=1.0, per_row=10.0)
    assert pace.reserve(10**6, 0) == pytest.approx(20.0)


def test_training_has_a_little_where_preparation_took_it_all() -> None:
    pace, time = paced(evaluation=1e-4, per_row=10.0)
    time.time += 500.0
    assert pace.training_seconds(0.0, 1000, 500) == pytest.approx(10.0)


def test_seconds_before_an_interruption_count() -> None:
    pace, time = paced()
    pace.clock.before = 60.0
    time.time += 10.0
    assert pace.left == pytest.approx(30.0)
    found = pace.training_seconds(60.0, 0, 0)
    assert found == pytest.approx(60.0 + 30.0 - 1.2)


def test_a_phase_has_as_many_rows_as_its_share_allows() -> None:
    pace, time = paced(evaluation=1e-3, per_row=10.0)
    time.time += 80.0  # 20 are left; a row takes .02
    assert pace.rows(400, 0.5, "measured") == 400
    assert pace.rows(5000, 0.5, "measured") == 500
    assert pace.rows(5000, 0.5, "looked at", evaluations=1) == 5000
    time.time += 100.0
    assert pace.rows(5000, 0.5, "round trip") == 256
    assert pace.rows(100, 0.5, "round trip") == 100
    assert pace.diagnostics() == {
        "seconds": 180.0,
        "shortened": [
            "measured on 500 of 5,000 rows",
            "round trip on 256 of 5,000 rows",
        ],
    }


def test_what_a_phase_took_tells_what_the_next_will() -> None:
    pace, _ = paced(evaluation=1e-3, per_row=10.0)
    pace.measured(100, 8.0)
    assert pace.solved_row() == pytest.approx(0.08)


def test_what_takes_longer_than_its_share_is_left_out() -> None:
    pace, _ = paced(coordinates=10.0)
    assert pace.affords(4, 0.5, "refitted")
    assert not pace.affords(6, 0.5, "not refitted")
    assert pace.shortened == ["not refitted"]


def test_evaluations_tell_what_a_row_takes_once_there_was_something_to_solve() -> None:
    pace, _ = paced(evaluation=1e-3, per_row=30.0)
    pace.learn(5.0, 1000, 1.0)
    assert (pace.evaluation, pace.per_row) == (1e-3, 30.0)
    pace.learn(40.0, 1000, 20.0)
    assert (pace.evaluation, pace.per_row) == (2e-3, 20.0)


@pytest.mark.parametrize(
    ("evaluation", "facts", "rows"),
    [
        (1e-6, {}, 1024),
        (1e-3, {}, 256),  # of 1,024 rows a step would take 16 seconds
        (1e-3, {"own_batch": True}, 1024),
        (1e-6, {"batch_size": 256}, 256),  # that of the run that is resumed
    ],
)
def test_batches_are_small_where_few_steps_would_fit(
    evaluation: float, facts: dict[str, Any], rows: int
) -> None:
    pace, _ = paced(evaluation=evaluation, **facts)
    assert pace.first_batch(1024) == rows


def test_weights_are_selected_on_rows_that_an_evaluation_has_time_for() -> None:
    pace, _ = paced(evaluation=1e-4, per_row=10.0)
    assert pace.selected_rows(4000) == 4000
    assert pace.selected_rows(8192) == 5000
    pace.evaluation = 1.0
    assert pace.selected_rows(8192) == 256


def test_a_potential_is_tried_on_more_rows_until_that_takes_long_enough() -> None:
    pace, time = paced()
    asked = list[int]()

    class Slow(Quadratic):
        def value_and_gradient(self, x: Any) -> Any:
            asked.append(len(x))
            time.time += 1e-3 * len(x) * (100 if len(asked) == 2 else 1)
            return super().value_and_gradient(x)

    pace.try_out(Slow(2), torch.zeros(5000, 2))
    assert asked == [16, 16, 16, 64, 64, 256, 256]  # held up once, which does not count
    assert pace.evaluation == pytest.approx(1e-3)


def test_rows_at_equal_distances() -> None:
    rows = torch.arange(10)
    assert some_of(rows, 20) is rows
    assert some_of(rows, 5).tolist() == [0, 2, 4, 6, 8]
    trip = RoundTripRows(rows, (list("abcdefghij"),)).at_most(2)
    assert (trip.rows.tolist(), trip.condition) == ([0, 5], (["a", "f"],))
    values = RoundTripRows(rows, (10 * rows,)).at_most(2)
    assert torch.equal(torch.as_tensor(values.condition[0]), torch.tensor([0, 50]))


# ---- whole fits, by a clock of which every question takes a while


def ticking(monkeypatch: pytest.MonkeyPatch, per_question: float) -> Time:
    time = Time(per_question)
    monkeypatch.setattr(samples, "Clock", lambda: Clock(time))
    return time


def fitted(
    kind: str = "plain", max_time: float = 100.0, **told: Any
) -> OptimalTransport:
    told = {"max_steps": None, "max_time": max_time, "n_networks": 1, **told}
    return quick(**told).fit(*PAIR, **KINDS[kind])


@EVERY
def test_a_fit_of_slow_steps_ends_in_time_and_warns(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = ticking(monkeypatch, 0.05)
    with pytest.warns(ConvergenceWarning, match="training steps fitted into 10 sec"):
        ot = fitted(kind, max_time=10.0)
    assert 0 < ot.diagnostics_["steps"] < 100
    assert ot.diagnostics_["stopped"] == "budget"
    assert 5 < ot.diagnostics_["seconds"] <= time.time < 11


def test_no_step_is_taken_where_one_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticking(monkeypatch, 30.0)
    with pytest.warns(ConvergenceWarning, match="max_time: 0 training steps"):
        ot = fitted()
    assert (ot.diagnostics_["selected"], ot.diagnostics_["steps"]) == ("affine", 0)
    assert ot.diagnostics_["shortened"]


def test_fits_within_their_time_warn_of_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticking(monkeypatch, 0.01)
    ot = fitted(max_time=10.0, max_steps=5)
    assert ot.diagnostics_["steps"] == 5
    assert ot.diagnostics_["shortened"] == []


def test_fits_without_a_limit_are_told_no_time() -> None:
    ot = quick(max_steps=2).fit(*PAIR)
    assert "seconds" not in ot.diagnostics_


@EVERY
def test_the_bar_names_every_phase(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named = list[str]()
    monkeypatch.setattr(Progress, "phase", lambda self, name: named.append(name))
    quick(max_steps=2, verbose=True).fit(*PAIR, **KINDS[kind])
    assert [name for name in named if name != "training"] == [
        *("reading", "inspecting", "preparing", "judging", "measuring", "round trip"),
    ]
