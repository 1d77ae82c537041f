"""What commands ask of a saved model: its features, and whether it takes labels."""

from __future__ import annotations

from pathlib import Path

from brenier.datasets import listed
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
