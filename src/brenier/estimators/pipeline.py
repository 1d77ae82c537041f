"""The one pipeline of every kind of fit: prepare, train, judge, certify, finish.

Each side is split three ways: rows to train on, rows to select by (held-out J, early stopping), and rows that certify
the result and take part in nothing else; of few rows all that do not certify do both (see `folded`). Where the trained
network does not beat the map training started from (see `verdict`), that is returned, refitted to all samples, or to as
many of a stream as training drew.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import torch

from brenier.errors import ConvergenceWarning, warn
from brenier.estimators.options import Fitted, Options
from brenier.estimators.pace import Pace
from brenier.estimators.plan import FitProblem, Plan
from brenier.potentials import Potential
from brenier.statistics import Weighted
from brenier.training import (
    Keeper,
    LocalRanks,
    RankError,
    Run,
    Start,
    fingerprint,
    led,
    remove_finished,
    resume_or_start,
    start_anew,
    threads_kept,
    train,
)
from brenier.transport.dual import DualTask
from brenier.transport.maps import (
    MISSED,
    ConditionalMap,
    RoundTrip,
    TransportMap,
    calibrate_support,
    round_trip,
)


def fit_plan(plan: Plan, options: Options) -> Fitted:
    """Return the map that a plan asks for.

    Raises:
        DataError: for samples that cannot be used.
        ModelFileError: where the checkpoint is damaged, or belongs to other samples or settings.
    """
    with threads_kept() as threads:
        start = resume_or_start(options.folder, options.seed, options.seed_given)
        prepared = _prepared(plan, options, start)
        if start.finished and not prepared.knows(start):
            start = start_anew(options.seed)
            prepared = _prepared(plan, options, start)
        processes = _train(prepared, start, options)
        return _judged(prepared, options, {"threads": threads, "processes": processes})


class Prepared(NamedTuple):
    """A problem, its run before the first step, and what keeps that on disk."""

    problem: FitProblem
    run: Run[Potential]
    keeper: Keeper | None

    def knows(self, start: Start) -> bool:
        """Say whether the run may go on from a start."""
        return self.keeper is None or self.keeper.knows(start)


def _prepared(plan: Plan, options: Options, start: Start) -> Prepared:
    """Return the problem of a plan and its run, to be taken up from where an earlier one was."""
    pace = options.pace
    if start.state is not None and pace.limit is not None:
        counters = start.state["run"]["counters"]
        pace.batch_size, pace.clock.before = counters["batch_size"], counters["seconds"]
    problem = plan.prepare(options, start.generator)
    settings = options.settings.training
    if pace.batch_size is not None:
        settings = dataclasses.replace(settings, batch_size=pace.batch_size)
    run = Run(problem.task, settings, start.generator, pace.clock.now)
    keeper = None
    if options.folder:
        coordinates = problem.coordinates
        warm = [] if options.warm is None else list(run.task.model.parameters())
        mark = fingerprint(
            _description(options, run),
            *problem.task.held_out,
            coordinates.basis,
            coordinates.unit,
            *warm,
            *(own for own in options.weights if own is not None),
        )
        keeper = Keeper(options.folder, mark, start.seed)
    return Prepared(problem, run, keeper)


def _train(prepared: Prepared, start: Start, options: Options) -> int:
    """Train a run to its end, from where an earlier one was; return by how many processes."""
    _, run, keeper = prepared
    task, settings = prepared.problem.task, options.settings
    if keeper is not None:
        keeper.restore(run, start)
    patient, kept = settings.training.max_time is None, keeper is not None
    keep_pace = functools.partial(_keep_pace, run, task, options)
    with LocalRanks(_processes(task, options), settings.ranks) as local:
        run.step_seconds = options.pace.step_seconds(run.batch_size)

        def before_step() -> None:
            keep_pace()
            if local.waiting and _processes(task, options, run.step) > 1:
                local.join(run, kept, patient)

        before_step()
        try:
            train(run, keeper, options.progress, before_step)
        except RankError as error:
            raise local.named(error) from error
        _warn_of_few_steps(run, options.pace)
        ranks = led()
        return local.taking_part if ranks is None else ranks.size


def _processes(task: DualTask, options: Options, step: float = math.inf) -> int:
    """Return how many processes of this machine train: as many as asked for, if a step is large enough for them.

    Args:
        task: what is trained.
        options: what the fit is told.
        step: which; by default the last, whose batch is the largest.
    """
    if options.device.type != "cpu" or led() is not None:
        return 1
    settings = options.settings
    parallel, training = settings.parallel, settings.training
    most = options.processes or parallel.worthwhile_processes(task.members(), training)
    return parallel.processes(task.members(), training, most, step)


def _keep_pace(run: Run[Potential], task: DualTask, options: Options) -> None:
    """Limit a run to the seconds that are left, less what the conclusion is expected to take."""
    pace, settings = options.pace, options.settings
    if pace.limit is None:
        return
    held_out = len(task.held_out[1])
    selected = min(task.selected, held_out)
    if run.history and pace.learnt != run.evaluation_seconds:
        pace.learnt = run.evaluation_seconds
        pace.learn(run.last_evaluation, selected, run.history[-1]["evaluations"])
    rows = 3 * held_out + settings.control.fitted_rows
    run.limit = pace.training_seconds(run.seconds, rows, selected)


def _warn_of_few_steps(run: Run[Potential], pace: Pace) -> None:
    """Warn where the seconds allowed too few steps to learn a map."""
    few = pace.settings.few_steps
    limited = run.finished == "budget" and run.step < run.settings.max_steps
    if pace.limit is None or not limited or run.step >= few:
        return
    needed = pace.limit + (few - run.step) * run.step_seconds
    warn(
        f"max_time: {run.step} training steps fitted into {pace.limit:g} seconds, and a map needs {few} at least, "
        f"which would take about {needed:,.0f} seconds here. Give more time, fewer features (from a PCA, for example), "
        "a smaller network (potential='residual'), or more processes (n_jobs)",
        ConvergenceWarning,
    )


def _judged(prepared: Prepared, options: Options, shared: dict[str, int]) -> Fitted:
    """Return what comes of a run that has ended: its network, or the start where it is no better.

    Args:
        prepared: the problem and the run.
        options: what the fit is told.
        shared: by how many threads and processes it was trained.
    """
    problem, run, keeper = prepared
    options.progress.phase("judging")
    potential, selected, facts = problem.choose(run)
    at_start = selected == options.start
    options.progress.phase("measuring")
    transport = problem.certified_map(
        potential, refit=at_start and selected == "affine"
    )
    fault = None if at_start else problem.fault(transport)
    if fault:
        transport, selected = _mended(problem, transport, selected, fault)
    options.progress.phase("round trip")
    held_out, pace = problem.round_trip(), options.pace
    aside = Weighted(held_out.rows.double(), held_out.weights)
    calibrate_support(transport, aside, held_out.condition)
    if not at_start:
        most, share = len(held_out.rows), pace.settings.round_trip_share
        held_out = held_out.at_most(pace.rows(most, share, "round trip"))
    settings = options.settings.round_trip
    trip = round_trip(transport, held_out.rows, *held_out.condition, settings=settings)
    diagnostics = {
        **_diagnostics(run, selected, trip),
        **facts,
        "drawn": problem.task.drawn,
        **options.worth(),
        **shared,
        **pace.diagnostics(),
    }
    file = None if keeper is None else keeper.finish()
    return Fitted(transport, run.history, diagnostics, file, problem.plan)


def _mended(
    problem: FitProblem,
    transport: TransportMap | ConditionalMap,
    selected: str,
    fault: str,
) -> tuple[TransportMap | ConditionalMap, str]:
    """Return the map of the exact plan between some rows and its name, or what there was if that is wrong as well.

    Args:
        problem: what was fitted.
        transport: the map that is wrong.
        selected: which map that is.
        fault: what shows that.
    """
    potential = problem.of_exact_plan()
    if potential is not None:
        other = problem.certified_map(potential, refit=False)
        if not problem.fault(other):
            warn(
                f"the map of the {selected} is wrong: {fault}. The map of the exact plan between rows of both "
                "sides, which it contains, is taken instead; for a network give more steps",
                ConvergenceWarning,
            )
            return other, "plan"
    warn(
        f"the fitted map is wrong: {fault}. Give more steps or rows, or fit clusters far apart by labels",
        ConvergenceWarning,
    )
    return transport, selected


def _description(options: Options, run: Run[Potential]) -> str:
    """Return the settings that a resumed run must share, in words."""
    groups = dataclasses.asdict(options.settings)
    del groups["ranks"], groups["parallel"]  # who works changes nothing of what is done
    for name in ("optimizer", "schedule"):  # functions, whose names say nothing
        del groups["training"][name]
    multipliers = [group.get("lr_multiplier") for group in run.optimizer.param_groups]
    optimizer = f"{type(run.optimizer).__name__} {run.optimizer.defaults} {multipliers}"
    model = run.task.model
    try:
        potential = f"{type(model).__name__} {model.config()}"
    except NotImplementedError:
        potential = type(model).__name__
    told = (
        options.start,
        options.cost,
        options.mass,
        options.objective,
        groups,
        options.dtype,
        optimizer,
        potential,
    )
    weighted = [
        side for side, own in zip("XY", options.weights, strict=True) if own is not None
    ]
    return " ".join(map(str, (*told, *weighted)))


def _diagnostics(
    run: Run[Potential], selected: str, trip: RoundTrip
) -> dict[str, object]:
    """Return the diagnostics of a fit; warn of what a user must not miss."""
    rows = len(trip.errors)
    diagnostics = {
        "selected": selected,
        "stopped": run.finished,
        "steps": run.step,
        "rollbacks": run.rollbacks,
        "round_trip": float(torch.as_tensor(trip.errors).median()),
        "round_trip_missed": trip.missed,
        "round_trip_unconverged": trip.unconverged,
        "round_trip_rows": rows,
    }
    if run.finished.startswith("gave up"):
        warn(
            f"training {run.finished}; the best map seen is kept. Lower `learning_rate`, or use potential='convex'",
            ConvergenceWarning,
        )
    if trip.unconverged:
        remedy = "raise `map_.max_steps`, or use potential='convex'"
        if selected == "plan":
            remedy = "the map of a plan jumps, and where it does its inverse is only known roughly"
        warn(
            f"the inverse of {trip.unconverged} of {rows} held-out rows did not converge; {remedy}",
            ConvergenceWarning,
        )
    if trip.missed > trip.settings.max_missed_share:
        warn(
            f"round trip of {rows} held-out rows: {trip.missed_statement()} {MISSED[trip.kind].remedy}",
            ConvergenceWarning,
        )
    return diagnostics


def forget_run(estimator: object) -> None:
    """Remove the finished run of an estimator, since its result is saved, or another fit takes its place."""
    remove_finished(getattr(estimator, "_run_file", None))
