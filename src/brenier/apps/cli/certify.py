"""`brenier certify`: how far a saved map is to be trusted, from rows that its fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brenier.apps.cli.console import ExitCode, note, print_json
from brenier.apps.cli.inputs import (
    Wanted,
    as_features,
    rename_arguments,
)
from brenier.apps.cli.labels import labels_of_model
from brenier.apps.cli.models import features_of, read_pair_for
from brenier.apps.cli.weights import weight_names
from brenier.datasets import GivenDialect
from brenier.estimators import OptimalTransport, load

CERTIFYING = "certifying"  # the folder inside a model's where a second fit is kept


def certify(
    model: Path,
    source: Path,
    target: Path,
    *,
    confidence: float = 0.95,
    map_error: bool = True,
    as_json: bool = False,
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
    quiet: bool = False,
) -> ExitCode:
    """Certify a saved map on the samples of two files; print the certificate, and keep it in the model.

    Args:
        model: the folder that `fit` wrote.
        source, target: .npy, .npz, .csv or .parquet files of rows that the fit has not seen.
        confidence: of every bound.
        map_error: whether the error of the map is estimated, which takes about one more fit.
        as_json: whether to print JSON.
        columns: the features of tables, in the order of the fit.
        source_key, target_key: which array of .npz files.
        labels: the column, or the array of .npz files, that holds class labels, for a model with classes.
        weight, source_weight, target_weight: the column, or the array, of the weights of rows, of both files or of one.
        delimiter, decimal: signs between the fields of .csv files, and before fractions; None to find them out.
        seed: of everything random.
        quiet: whether to leave out the progress bar.
    """
    ot = load(model)
    dialect = GivenDialect(delimiter, decimal)
    named = weight_names(weight, source_weight, target_weight)
    wanted = Wanted(columns, labels, dialect, features_of(ot), named)
    keys = source_key, target_key
    pair = read_pair_for(ot, model, (source, target), keys, wanted)
    files = pair.source, pair.target
    names = ("source_weight", "target_weight")
    given: dict[str, Any] = dict(zip(names, pair.weights, strict=True))
    if labels is not None:
        known = ot.labels_ or ()
        for name, file in zip(("source", "target"), files, strict=True):
            given[f"{name}_labels"] = labels_of_model(file, labels, known, dialect)
    x, z = map(as_features, files)
    with rename_arguments(source, target):
        found = ot.certify(
            *(x, z),
            **given,
            confidence=confidence,
            map_error=map_error,
            seed=seed,
            checkpoint=str(model / CERTIFYING) if map_error else None,
            verbose=not quiet,
        )
    _keep(ot, model)
    if as_json:
        print_json(found.to_json())
    else:
        print(found.statement())
    return ExitCode.OK


def certify_fit(ot: OptimalTransport, out: Path, wanted: str, quiet: bool) -> None:
    """Certify a fitted estimator that is saved in a folder already, and save it again.

    Args:
        ot: the estimator.
        out: the folder.
        wanted: "bounds", or "full" with the estimated error of the map.
        quiet: whether to leave out the progress bar.

    Raises:
        KeyboardInterrupt: with a message that the model is there.
    """
    full = wanted == "full"
    folder = str(out / CERTIFYING) if full else None
    try:
        found = ot.certify(map_error=full, checkpoint=folder, verbose=not quiet)
    except KeyboardInterrupt:
        note(
            f"\ninterrupted; the model is saved in {out}, without a certificate. `brenier certify {out} SOURCE TARGET` "
            "makes one from new rows"
        )
        raise
    _keep(ot, out)
    print(found.statement())


def _keep(ot: OptimalTransport, model: Path) -> None:
    """Save an estimator with its certificate, and remove the folder of a second fit that has ended."""
    ot.save(model)
    folder = model / CERTIFYING
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
