"""What an estimator makes of Dask frames and arrays: the same, not yet computed."""

from __future__ import annotations

import functools
from collections.abc import Callable

from sklearn.base import BaseEstimator

from brenier.datasets import over_partitions
from brenier.errors import DataError
from brenier.estimators import validation


def lazily(
    estimator: BaseEstimator,
    function: Callable[..., object],
    values: object,
    name: str,
    **conditions: object,
) -> object:
    """Return what a function of an estimator makes of a Dask frame or array, not yet computed.

    Args:
        estimator: fitted.
        function: of samples and conditions.
        values: the frame or array.
        name: the argument's name, for messages.
        conditions: labels and covariates.

    Raises:
        DataError: where these do not fit those of fit, or `set_output` asks for what is in memory.
    """
    if validation.output_of(estimator) != "default":
        raise DataError(
            f'{name}: is lazy, and set_output asks for a frame in memory; leave that at "default": a Dask DataFrame '
            "comes back as one"
        )
    dim = estimator.n_features_in_
    check = functools.partial(validation.check_seen, estimator, name=name, dim=dim)
    return over_partitions(function, values, name, dim, conditions, check)
