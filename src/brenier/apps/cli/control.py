"""`brenier control`: from a problem of optimal control to a saved policy with its report; and a list of problems."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brenier.apps.cli.console import ExitCode, print_json
from brenier.apps.cli.unfinished import UnfinishedRun
from brenier.control import (
    PROBLEMS,
    ControlProblem,
    FeedbackPolicy,
    OptimalControl,
    holds_policy,
    problem_name,
    problem_named,
)
from brenier.errors import DataError
from brenier.report import (
    MeasuredPolicy,
    control_report,
    first_line,
    format_cell,
    measure_policy,
    policy_settings,
    told_fields,
)

LIST = "list"
# Options that are fields of problems, each also to be had by --set.
FIELDS = ("agents", "layout", "horizon", "steps")


def control(
    problem: str,
    *,
    out: Path | None = None,
    report: bool = False,
    assignments: Sequence[str] = (),
    as_json: bool = False,
    animation: bool = True,
    seed: int = 0,
    quiet: bool = False,
    resume: bool = False,
    restart: bool = False,
    again: str = "the same command",
    **settings: object,
) -> ExitCode:
    """Train a policy; write it and its report into a folder. Or list problems, or report on a saved policy again.

    Args:
        problem: the name of one, or "list", or with `report` the folder of a saved policy.
        out: the policy's folder; `unfinished` inside it holds the run until it has ended. For a report where it goes,
            by default beside the policy.
        report: whether only a report is asked for.
        assignments: "FIELD=VALUE", fields of the problem.
        as_json: whether to print JSON.
        animation: whether a moving picture is made.
        seed: of everything random.
        quiet: whether to leave out the progress bar.
        resume, restart: fail unless there is an unfinished run to go on with, or discard it.
        again: the command that resumes the run, for the message after an interruption.
        settings: fields of the problem among `FIELDS`, and parameters of `OptimalControl`.

    Raises:
        KeyboardInterrupt: with a message that says what was kept.
    """
    if report or problem == LIST:
        flags = {"set": bool(assignments), "resume": resume, "restart": restart}
        told = [*settings, *(name for name, on in flags.items() if on)]
        _refuse(told, "--report" if report else LIST)
    if report:
        policy = FeedbackPolicy.load(problem)
        return _report_again(policy, Path(problem), out, seed, as_json, animation)
    if problem == LIST:
        return _list(as_json)
    found = _problem(problem, assignments, settings)
    if out is None:
        raise DataError("--out: is missing; name the folder that the policy goes to")
    run = UnfinishedRun(out, again)
    how: dict[str, Any] = {
        name: value for name, value in settings.items() if name not in FIELDS
    }
    how["random_state"] = seed
    kept = str(run.folder)
    task = OptimalControl(found, **how, checkpoint=kept, verbose=not quiet)
    run.prepare(resume, restart)
    with run.training():
        task.fit()
    policy = task.policy_
    run.save(task.save)
    measured = measure_policy(policy, seed)
    try:
        _print_facts(policy, measured, out, as_json)
    finally:  # what cannot be printed can be written
        page = run.page(lambda: control_report(out, policy, measured, animation))
    if page is not None and not as_json:
        print(f"Report: {page}")
    return _code(measured)


def control_facts(policy: FeedbackPolicy) -> dict[str, object]:
    """Return what a policy is: the problem with its fields, its settings and how it was trained."""
    known = dict(policy.diagnostics)
    known.pop("settings", None)
    last = policy.history[-1] if policy.history else {}
    training = {"seconds": last["seconds"]} if "seconds" in last else {}
    return {
        "problem": problem_name(policy.problem),
        "states": policy.problem.state_dim,
        "controls": policy.problem.control_dim,
        "fields": told_fields(policy.problem),
        "settings": policy_settings(policy),
        "training": {**known, **training},
    }


def _report_again(
    policy: FeedbackPolicy,
    folder: Path,
    out: Path | None,
    seed: int,
    as_json: bool,
    animation: bool,
) -> ExitCode:
    """Measure a saved policy, and write its report beside it or elsewhere."""
    measured = measure_policy(policy, seed)
    if out is not None and out.exists() and not out.is_dir():
        raise DataError(f"--out: {out} is a file; give a folder")
    try:
        _print_facts(policy, measured, folder, as_json)
    finally:
        page = control_report(out or folder, policy, measured, animation)
    if not as_json:
        print(f"Report: {page}")
    return _code(measured)


def _problem(
    name: str, assignments: Sequence[str], settings: Mapping[str, object]
) -> ControlProblem:
    """Return the problem that options describe."""
    if name not in PROBLEMS and holds_policy(name):
        raise DataError(
            f"{name}: holds a saved policy; add --report for its report, or give the name of a problem"
        )
    fields = {each: settings[each] for each in FIELDS if each in settings}
    for text in assignments:
        field, value = _assigned(text)
        if field in fields:
            raise DataError(f"--set {field}: is given twice")
        fields[field] = value
    try:
        return problem_named(name, **fields)
    except DataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"--set: the fields {', '.join(fields)} make no problem {name} ({error})"
        ) from error


def _assigned(text: str) -> tuple[str, object]:
    """Return a field and its value from "FIELD=VALUE"; numbers with commas between them are a list."""
    field, sign, value = text.partition("=")
    field, value = field.strip().replace("-", "_"), value.strip()
    if not sign or not field or not value:
        raise DataError(f"--set: {text!r} sets nothing; write --set FIELD=VALUE")
    for candidate in (value, f"[{value}]"):
        try:
            found: object = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        return field, tuple(found) if isinstance(found, list) else found
    return field, value


def _refuse(told: Sequence[str], what: str) -> None:
    """Raise where options are given that only training takes."""
    if told:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in told)
        raise DataError(f"{names}: {what} trains nothing; leave it out")


def _list(as_json: bool) -> ExitCode:
    """Print all problems with their fields."""
    if as_json:
        print_json(
            {
                name: {"about": first_line(kind), "fields": told_fields(kind())}
                for name, kind in PROBLEMS.items()
            }
        )
        return ExitCode.OK
    for name, kind in PROBLEMS.items():
        print(f"{name}: {first_line(kind)}")
        fields = [f"{field}={format_cell(value)}" for field, value in told_fields(kind()).items()]  # fmt: skip
        print(f"    {' '.join(fields)}")
    return ExitCode.OK


def _print_facts(
    policy: FeedbackPolicy, measured: MeasuredPolicy, folder: Path, as_json: bool
) -> None:
    """Print what was learnt and where it is."""
    if as_json:
        facts = dataclasses.asdict(measured.facts)
        print_json({"policy": str(folder), **facts, **control_facts(policy)})
        return
    print(measured.facts.statement())
    print(f"Policy: {folder}", flush=True)


def _code(measured: MeasuredPolicy) -> ExitCode:
    """Return what to say to the shell: that something is wrong where no control converged."""
    if measured.facts.unconverged == 1:
        return ExitCode.NOTHING_CONVERGED
    return ExitCode.OK
