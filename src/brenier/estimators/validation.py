"""What the estimator is given, checked: every fault is a `DataError` that names the argument and the remedy."""

from __future__ import annotations

import dataclasses
import functools
import json
import numbers
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import joblib
import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import validate_data
from torch import Tensor

from brenier.datasets import Population
from brenier.errors import DataError, DataWarning, warn
from brenier.solve import Method

# What POT and others call the arguments of `fit`.
ELSEWHERE = {
    **dict.fromkeys(("Xs", "xs", "X_source", "source"), "X"),
    **dict.fromkeys(("Xt", "xt", "X_target", "target"), "Y"),
    **dict.fromkeys(("ys", "y_source"), "source_labels"),
    **dict.fromkeys(("yt", "y_target"), "target_labels"),
    "y": "Y (the target samples)",
    "labels": "source_labels and target_labels",
    "covariates": "source_covariates and target_covariates",
    "sample_weight": "source_weight",
    "weights": "source_weight and target_weight",
    **dict.fromkeys(("a", "ws"), "source_weight"),
    **dict.fromkeys(("b", "wt"), "target_weight"),
}


@dataclasses.dataclass(frozen=True)
class LayoutSettings:
    """When samples look as if columns were samples.

    Attributes:
        max_rows: of either side, both sides having as many.
        min_columns_per_row: features for each row.
    """

    max_rows: int = 10
    min_columns_per_row: int = 20


LAYOUT = LayoutSettings()


def check_positive(
    name: str, value: object, whole: bool = False, zero: bool = False
) -> None:
    """Raise where a value is not a positive number, a whole one if so told, and not zero if that may be."""
    words = f"a positive {'whole ' if whole else ''}number{' or zero' if zero else ''}"
    number = _whole(value) if whole else _real(value)
    if number is None or not 0 <= number < float("inf") or (number == 0 and not zero):
        raise DataError(f"{name}: must be {words}, got {value!r}")


def check_jobs(n_jobs: object) -> int | None:
    """Return a number of processes, negative ones counted back from all cores, or None where none is given."""
    if n_jobs is None:
        return None
    asked = _whole(n_jobs)
    if not asked:
        raise DataError(
            f"n_jobs: must be a whole number, 1 or more, or -1 for one per core, got {n_jobs!r}"
        )
    return asked if asked > 0 else max(1, joblib.cpu_count() + 1 + asked)


def check_no_label(label: object, conditional: bool) -> None:
    """Raise where a label is given for the distance of a map without labels, one with covariates or a plain one."""
    if label is None:
        return
    remedy = "leave it out, or fit with labels"
    if conditional:
        remedy = (
            "leave it out for the distance over all covariates, or measure it at one value c on samples of it, "
            "`map_.distance(c, x, z)`"
        )
    raise DataError(f"label: the map was fitted without labels; {remedy}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise where a value is not one of some names."""
    if not isinstance(value, str) or value not in choices:
        raise DataError(
            f"{name}: must be one of {', '.join(map(repr, choices))}, got {value!r}"
        )


def name_of_dtype(dtype: object) -> object:
    """Return the name of a type of numbers given as torch's, numpy's or Python's; anything else as it is."""
    if isinstance(dtype, torch.dtype):
        return str(dtype).removeprefix("torch.")
    if dtype is float or isinstance(dtype, np.dtype):
        return np.dtype(dtype).name
    if isinstance(dtype, type) and issubclass(dtype, np.number):
        return np.dtype(dtype).name
    return dtype


def check_scale(scale: object, dim: int) -> str | Tensor:
    """Return the scale as a name or a (d,) tensor of positive units."""
    if isinstance(scale, str):
        check_choice("scale", scale, ("auto", "common", "feature"))
        return scale
    try:
        unit = torch.as_tensor(np.asarray(scale, dtype=np.float64))
    except (TypeError, ValueError):
        unit = torch.empty(0)
    if unit.shape != (dim,) or not bool((torch.isfinite(unit) & (unit > 0)).all()):
        raise DataError(
            f"scale: must be a name or {dim} positive numbers, one per feature, got {scale!r}"
        )
    return unit


def check_method(method: object) -> Method:
    """Return an inner solver, or raise where it is none."""
    if isinstance(method, type) or not (
        hasattr(method, "init") and hasattr(method, "step")
    ):
        raise DataError(
            f"method: must be an inner solver such as BFGS(), got {method!r}"
        )
    return method


def check_device(device: object) -> torch.device:
    """Return a device that can be used here; one without float64, which moments are computed in, cannot."""
    try:
        return torch.empty(0, dtype=torch.float64, device=device).device  # type: ignore[call-overload,no-any-return]
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        fault = str(error).partition("\n")[0]
        raise DataError(
            f"device: {device!r} cannot be used ({fault}); give 'cpu', or None for that of X"
        ) from error


def check_folder(name: str, folder: object) -> None:
    """Raise where something cannot be the path of a folder."""
    if not isinstance(folder, str | os.PathLike):
        raise DataError(f"{name}: must be the path of a folder or None, got {folder!r}")
    if os.path.isfile(folder):
        raise DataError(
            f"{name}: {os.fspath(folder)} is a file; give a folder, which need not exist yet"
        )


def draw_seed(random_state: object) -> int:
    """Return a seed drawn from what scikit-learn or numpy call a random state."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise DataError(
            f"random_state: {error}; give a whole number below 2**32, a generator or None"
        ) from error


def check_columns(
    source: tuple[str, ...] | None, target: tuple[str, ...] | None
) -> None:
    """Raise where two frames do not have the same columns in the same order."""
    if source is None or target is None or source == target:
        return
    if sorted(source) == sorted(target):
        raise DataError(
            "Y: has the columns of X in another order; reorder with Y[X.columns]"
        )
    odd = sorted(set(source) ^ set(target))
    raise DataError(
        f"Y: its columns differ from those of X ({', '.join(odd[:5])}); give both sides the same features"
    )


def check_no_labels_as_target(Y: object) -> None:
    """Raise where the target is one label per row, as pipelines hand on; the message says what is wanted instead."""
    shape = getattr(Y, "shape", None)
    if isinstance(Y, list | tuple):
        flat = bool(Y) and all(isinstance(y, str | numbers.Number) for y in Y)
        shape = (len(Y),) if flat else None
    if shape is None or len(shape) != 1 or callable(Y):
        return
    raise DataError(
        f"Y: Expected 2D array, got 1D array of shape {tuple(shape)} instead; Y holds the target samples (m, d), and "
        "this looks like one label per row. Give the target samples, and labels as source_labels=, target_labels=; for "
        "one feature reshape your data with reshape(-1, 1)",
        argument="Y",
    )


def warn_if_transposed(source: Population, target: Population) -> None:
    """Warn where columns are likely to be the samples: both sides have the same few rows, and far more features."""
    n, d = source.size, source.dim
    if n is None or n != target.size:
        return
    if n <= LAYOUT.max_rows and d >= LAYOUT.min_columns_per_row * n:
        warn(
            f"X, Y: both have {n} rows and {d} features; rows are samples. If columns are, give X.T and Y.T",
            DataWarning,
        )


Fit = TypeVar("Fit", bound=Callable[..., object])


def names_both_sides(fit: Fit) -> Fit:
    """Return a method `fit` that says what is wrong where it is given arguments as other libraries call them.

    Raises:
        DataError: by the method, for such an argument.
    """

    @functools.wraps(fit)
    def named(*arguments: object, **given: object) -> object:
        for name in given:
            if name in ELSEWHERE:
                raise DataError(
                    f"{name}: is called {ELSEWHERE[name]} here: fit(X, Y, source_labels=..., target_labels=...) learns "
                    "the map from source samples X to target samples Y",
                    argument=name,
                )
        return fit(*arguments, **given)

    return cast(Fit, named)


def feature_names(values: object, name: str) -> np.ndarray | None:
    """Return what scikit-learn keeps as `feature_names_in_`, None where there are no names."""
    blank = BaseEstimator()
    try:
        validate_data(blank, values, reset=True, skip_check_array=True)
    except TypeError as error:
        raise DataError(f"{name}: {error}") from error
    return getattr(blank, "feature_names_in_", None)


def remember_features(
    estimator: BaseEstimator, dim: int, names: np.ndarray | None
) -> None:
    """Keep what the features were, as scikit-learn does; names of an earlier fit are forgotten."""
    estimator.n_features_in_ = dim
    if names is not None:
        estimator.feature_names_in_ = names
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def described(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the parameters that JSON can hold, without functions and objects, and the names of the features."""
    parameters = estimator.get_params(deep=False)
    parameters["dtype"] = name_of_dtype(parameters["dtype"])
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "parameters": {
            name: value for name, value in parameters.items() if _is_json(value)
        },
        "features": None if names is None else [str(name) for name in names],
    }


def as_configured(estimator: BaseEstimator, moved: object) -> object:
    """Return moved rows in the kind given; a tensor as an array where `set_output` asks for a frame."""
    if output_of(estimator) != "default" and isinstance(moved, Tensor):
        return moved.detach().cpu().numpy()
    return moved


def output_of(estimator: BaseEstimator) -> object:
    """Return which kind of output `set_output`, or scikit-learn's configuration, asks for."""
    configured = getattr(estimator, "_sklearn_output_config", {})
    return configured.get("transform", get_config()["transform_output"])


def check_seen(estimator: BaseEstimator, values: object, name: str, dim: int) -> None:
    """Raise where samples with dim features differ from those seen in fit, by their number or names."""
    expected = estimator.n_features_in_
    if dim != expected:
        raise DataError(
            f"{name} has {dim} features, but {type(estimator).__name__} is expecting {expected} features as input; "
            "give the columns used in fit"
        )
    try:
        validate_data(estimator, values, reset=False, skip_check_array=True)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name}: {error}Give the columns used in fit, in that order"
        ) from error


def _real(value: object) -> float | None:
    """Return a real number as a float, or None for anything else; True and False are none."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return float(value) if real else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    """Return a whole number, or None for anything else; True and False are none."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if whole else None  # type: ignore[call-overload]


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def with_required_target(tags: Tags) -> Tags:
    """Return tags of scikit-learn that say that a fit takes two samples."""
    tags.target_tags.required = True
    return tags
