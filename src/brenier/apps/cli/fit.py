"""`brenier fit`: from two files to a saved model with its report; an interrupted run is picked up where it was."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brenier.apps.cli.console import NOTHING_CONVERGED, OK, note
from brenier.apps.cli.inputs import (
    as_features,
    labelled_rows,
    named,
    read_labels,
    read_pair,
    some_rows,
)
from brenier.datasets import Samples
from brenier.errors import DataError, ModelFileError
from brenier.estimators import OptimalTransport
from brenier.report import Section, class_table, fit_report, text_table
from brenier.training import checkpoint

UNFINISHED = "unfinished"
REPORTED = 8192  # rows of either side that the report looks at, at most


def fit(
    source: Path,
    target: Path,
    out: Path,
    *,
    columns: Sequence[str] | None = None,
    source_key: str | None = None,
    target_key: str | None = None,
    labels: str | None = None,
    seed: int = 0,
    quiet: bool = False,
    resume: bool = False,
    restart: bool = False,
    again: str = "the same command",
    **settings: Any,
) -> int:
    """Learn the map from one file's samples to another's; write the model and its report into a folder.

    Args:
        source, target: .npy, .npz, .csv or .parquet files.
        labels: the column, or the array of .npz files, that holds class labels, or None.
        out: the model's folder; `unfinished` inside it holds the run until it has ended.
        resume, restart: insist on going on with an unfinished run, or discard it.
        again: the command that resumes the run, for the message after an interruption.
        settings: parameters of `OptimalTransport`.

    Raises:
        KeyboardInterrupt: with a message that says what was kept.
    """
    x, z = read_pair(source, target, columns, source_key, target_key, labels=labels)
    classes = None
    if labels is not None:
        classes = (
            read_labels(x.path, labels, len(x.values)),
            read_labels(z.path, labels, len(z.values)),
        )
    folder = out / UNFINISHED
    _prepare(folder, resume, restart)
    ot = OptimalTransport(
        **settings, random_state=seed, checkpoint=str(folder), verbose=not quiet
    )
    _fit(ot, x, z, classes, folder, again)
    ot.set_params(checkpoint=None, verbose=False).save(out)
    _tidy(folder)
    _tell(ot, out)
    title, described = (
        f"Transport map from {source.name} to {target.name}",
        _described(x) + "\n" + _described(z),
    )
    if classes is None:
        rows: tuple[Any, Any] = (
            some_rows(x, REPORTED, seed),
            some_rows(z, REPORTED, seed),
        )
        page = fit_report(out, title, ot, *rows, [Section("Samples", described)])
    else:
        known = ot.labels_ or ()
        some = [
            labelled_rows(s, c, known, REPORTED, seed)
            for s, c in zip((x, z), classes, strict=True)
        ]
        (x_rows, x_labels), (z_rows, z_labels) = some
        page = fit_report(
            out,
            title,
            ot,
            x_rows,
            z_rows,
            [Section("Samples", described)],
            (x_labels, z_labels),
        )
    print(f"Report: {page}")
    found = ot.diagnostics_
    return (
        NOTHING_CONVERGED
        if found["round_trip_unconverged"] == found["round_trip_rows"]
        else OK
    )


def _prepare(folder: Path, resume: bool, restart: bool) -> None:
    """Make the folder of the unfinished run; say whether there is one, or discard it."""
    if folder.parent.exists() and not folder.parent.is_dir():
        raise DataError(f"--out: {folder.parent} is a file; give a folder")
    if restart:
        checkpoint.remove_run(folder)
    state = _state(folder)
    if state is not None:
        step = state["run"]["counters"]["step"]
        note(
            f"Resuming the unfinished run in {folder} at step {step}; --restart would discard it."
        )
    elif resume:
        raise DataError(
            f"--resume: there is no unfinished run in {folder}; leave it out to start one"
        )
    folder.mkdir(parents=True, exist_ok=True)


def _state(folder: Path) -> dict[str, Any] | None:
    try:
        return checkpoint.read_run(folder)
    except ModelFileError as error:
        raise ModelFileError(f"{error}, which --restart does") from error


def _fit(
    ot: OptimalTransport,
    x: Samples,
    z: Samples,
    classes: tuple[Any, Any] | None,
    folder: Path,
    again: str,
) -> None:
    """Fit, with faults told by file and an interruption told by what it leaves."""
    try:
        with named(x.path, z.path):
            source_labels, target_labels = classes or (None, None)
            ot.fit(
                as_features(x),
                as_features(z),
                source_labels=source_labels,
                target_labels=target_labels,
            )
    except ModelFileError as error:
        raise ModelFileError(f"{error}, which --restart does") from error
    except KeyboardInterrupt:
        state = checkpoint.read_run(folder)
        if state is None:
            _tidy(folder)
            raise KeyboardInterrupt(
                "Interrupted before the first step: nothing was saved."
            ) from None
        step = state["run"]["counters"]["step"]
        raise KeyboardInterrupt(
            f"Interrupted; the run is kept at step {step} in {folder} and goes on with: {again}"
        ) from None
    except BaseException:
        _tidy(folder)
        raise


def _tidy(folder: Path) -> None:
    """Remove the folders of an unfinished run where nothing is in them."""
    for empty in (folder, folder.parent):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _described(samples: Samples) -> str:
    rows, dim = samples.values.shape
    names = "" if samples.columns is None else f": {', '.join(samples.columns)}"
    return f"* {samples.path.name}: {rows} rows, {dim} features{names}"


def _tell(ot: OptimalTransport, out: Path) -> None:
    """Print what was learnt and where it is."""
    found = ot.diagnostics_
    print(
        class_table(ot.map_, text_table)
        if ot.labels_
        else ot.map_.distance().statement()
    )
    missed, rows = found["round_trip_unconverged"], found["round_trip_rows"]
    print(
        f"Round trip: median error {found['round_trip']:.2g} of the spread; {missed} of {rows} rows unconverged."
    )
    if found["selected"] != "network":
        print(
            f"Training found nothing certainly better than the map it started from: {found['selected']}."
        )
    print(f"Model: {out}", flush=True)
