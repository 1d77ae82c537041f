"""`brenier fit`: from two files to a saved model with its report; an interrupted run is picked up where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brenier.apps.cli.certify import certify_fit
from brenier.apps.cli.console import ExitCode, convergence_code
from brenier.apps.cli.costs import with_cost
from brenier.apps.cli.fit_sides import FitSides, fit_sides
from brenier.apps.cli.inputs import Wanted
from brenier.apps.cli.unfinished import UnfinishedRun
from brenier.apps.cli.weights import weight_names
from brenier.datasets import GivenDialect
from brenier.estimators import STARTS, OptimalTransport, follows
from brenier.report import (
    Section,
    class_table,
    fit_report,
    text_table,
    worth_of,
)


def fit(
    source: Path,
    target: Path,
    out: Path,
    *,
    columns: Sequence[str] | None = None,
    source_key: str | None = None,
    target_key: str | None = None,
    labels: str | None = None,
    weight: str | None = None,
    source_weight: str | None = None,
    target_weight: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    seed: int = 0,
    certify: str | None = None,
    quiet: bool = False,
    resume: bool = False,
    restart: bool = False,
    again: str = "the same command",
    **settings: Any,
) -> ExitCode:
    """Learn the map from one file's samples to another's; write the model and its report into a folder.

    Args:
        source, target: .npy, .npz, .csv or .parquet files; or folders and patterns of .parquet, Arrow, .npy, zarr and
            HDF5 files, and files larger than memory, whose rows are read when they are used.
        out: the model's folder; `unfinished` inside it holds the run until it has ended.
        columns: the features of tables, in this order.
        source_key, target_key: which array of .npz files, or dataset of HDF5 files.
        labels: the column, or the array of .npz files, that holds class labels, or None.
        weight, source_weight, target_weight: the column, or the array, of the weights of rows, of both files or of one.
        delimiter, decimal: signs between the fields of .csv files, and before fractions; None to find them out.
        seed: of everything random.
        certify: "bounds", "full" or None: what is certified once the model is saved.
        quiet: whether to leave out the progress bar, and which columns are features where none is left out.
        resume, restart: fail unless there is an unfinished run to go on with, or discard it.
        again: the command that resumes the run, for the message after an interruption.
        settings: parameters of `OptimalTransport`, cost and mass as `GivenCost` says.

    Raises:
        KeyboardInterrupt: with a message that says what was kept.
    """
    settings = with_cost(settings)
    dialect = GivenDialect(delimiter, decimal)
    named = weight_names(weight, source_weight, target_weight)
    wanted = Wanted(columns, labels, dialect, weights=named)
    following, keys = follows(settings.get("n_jobs") == 1), (source_key, target_key)
    sides = fit_sides(source, target, wanted, keys, quiet or following)
    if following:
        sides.fit(OptimalTransport(**settings, random_state=seed))
        return ExitCode.OK  # the first of the processes writes and tells
    run = UnfinishedRun(out, again)
    run.prepare(resume, restart)
    ot = OptimalTransport(
        **settings, random_state=seed, checkpoint=str(run.folder), verbose=not quiet
    )
    with run.training():
        sides.fit(ot)
    run.save(lambda folder: ot.set_params(checkpoint=None, verbose=False).save(folder))
    try:
        _print_outcome(ot, out)
        if certify is not None:
            certify_fit(ot, out, certify, quiet)
    finally:  # what cannot be printed can be written
        page = run.page(lambda: _write_fit(out, ot, sides, seed))
    if page is not None:
        print(f"Report: {page}")
    found = ot.diagnostics_
    return convergence_code(found["round_trip_unconverged"], found["round_trip_rows"])


def _print_outcome(ot: OptimalTransport, out: Path) -> None:
    """Print what was learnt and where it is."""
    found = ot.diagnostics_
    if ot.labels_:
        print(class_table(ot.map_, text_table))
    else:
        print(ot.map_.distance().statement())
    worth = worth_of(ot.diagnostics_)
    if worth:
        print(worth)
    unconverged, rows = found["round_trip_unconverged"], found["round_trip_rows"]
    missed = f"{100 * found['round_trip_missed']:.2g} % of the rows do not come back"
    print(
        f"Round trip: median error {found['round_trip']:.2g} of the spread; {missed}; {unconverged} of {rows} rows "
        "unconverged."
    )
    if found["selected"] in STARTS:
        print(
            f"Training found nothing certainly better than the map it started from: {found['selected']}."
        )
    print(f"Model: {out}", flush=True)


def _write_fit(out: Path, ot: OptimalTransport, sides: FitSides, seed: int) -> Path:
    """Write the report of the fit, on random rows of both sides; return the path of its page."""
    samples = Section("Samples", sides.described())
    x, z, labels = sides.rows(ot, seed)
    return fit_report(out, sides.title(), ot, x, z, [samples], labels)
