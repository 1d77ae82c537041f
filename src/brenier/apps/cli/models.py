"""What commands ask of a saved model: its features, whether it takes labels, and files that fit it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from brenier.apps.cli.inputs import Wanted, check_dim, read_pair
from brenier.apps.cli.remarks import tell_tables
from brenier.apps.cli.weights import BothWeights, both_weights
from brenier.datasets import Samples, listed
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.transport.maps import ConditionalMap


def features_of(ot: OptimalTransport) -> tuple[str, ...] | None:
    """Return the names of the features a model was fitted on, if they had any."""
    names = getattr(ot, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def check_labels(ot: OptimalTransport, labels: str | None, model: Path) -> None:
    """Raise unless labels are given to a model with classes, and to no other.

    Args:
        ot: the model.
        labels: the column that holds the labels, or None.
        model: its folder, for messages.

    Raises:
        DataError: where a model with classes is given no labels, one without is given some, or one has covariates,
            which no command takes.
    """
    if isinstance(ot.map_, ConditionalMap) and ot.labels_ is None:
        raise DataError(
            f"{model}: was fitted with covariates, which cannot be given here; in Python: "
            "brenier.load(folder).transform(X, covariates=...)"
        )
    if labels is None and ot.labels_ is not None:
        raise DataError(
            f"--labels: {model} was fitted with classes ({listed(ot.labels_)}); name the column that holds them"
        )
    if labels is not None and ot.labels_ is None:
        raise DataError(f"--labels: {model} was fitted without classes; leave it out")


class PairOfFiles(NamedTuple):
    """The samples of two files that fit a model, and the weights of their rows."""

    source: Samples
    target: Samples
    weights: BothWeights


def read_pair_for(
    ot: OptimalTransport,
    model: Path,
    files: tuple[Path, Path],
    keys: tuple[str | None, str | None],
    wanted: Wanted,
) -> PairOfFiles:
    """Return what two files hold for a model.

    Args:
        ot: the model.
        model: its folder, for messages.
        files: of the source and of the target.
        keys: which array of .npz files.
        wanted: what is read of them.

    Raises:
        DataError: for labels that do not go with the model, and files that cannot be used or do not fit it.
    """
    check_labels(ot, wanted.labels, model)
    x, z = read_pair(*files, wanted, *keys)
    tell_tables((x, z), quiet=True)
    check_dim(x, ot.map_.dim, "the model has")
    return PairOfFiles(x, z, both_weights(x, z, wanted))
