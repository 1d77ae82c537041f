"""Small samples of the kinds that break programs, and one pass over everything an estimator does with them."""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from brenier import (
    ConvergenceWarning,
    DataError,
    DataWarning,
    ModelFileError,
    OptimalTransport,
    load,
)

KINDS = (
    *("normal", "constant", "ties", "integers", "bools", "one-hot", "counts"),
    *("huge", "tiny", "denormal", "mixed scales", "mixed rows", "repeated rows"),
    *("one row differs", "one column differs", "collinear", "heavy tail", "far away"),
    *("signs of zero", "small integers of 8 bits", "float32", "float16"),
)
METHODS = ("none", "labels", "covariates", "labels of one side")


def values(kind: str, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (n, d) of a kind."""
    z = rng.normal(size=(n, d))
    whole = rng.integers(-3, 4, size=(n, d))
    match kind:
        case "constant":
            return np.full((n, d), rng.choice([0.0, 1.0, -3.7, 1e6, 1e-8]))
        case "ties":
            return np.round(z)
        case "integers":
            return whole * int(rng.choice([1, 1000, 10**15]))
        case "bools":
            return z > 0
        case "one-hot":
            return np.eye(d)[rng.integers(d, size=n)]
        case "counts":
            return rng.poisson(0.2, size=(n, d))
        case "huge":
            return z * float(rng.choice([1e20, 1e38, 1e100, 1e139, 1e150, 1e300]))
        case "tiny":
            return z * float(rng.choice([1e-20, 1e-77, 1e-139, 1e-150, 1e-300]))
        case "denormal":
            return z * 1e-310
        case "mixed scales":
            return z * 10.0 ** rng.integers(-30, 30, size=d)
        case "mixed rows":
            return z * 10.0 ** rng.integers(-8, 8, size=(n, 1))
        case "repeated rows":
            return z[rng.integers(min(n, 3), size=n)]
        case "one row differs":
            return np.where(np.arange(n)[:, None] == 0, 1e3 * z, 1.0)
        case "one column differs":
            return np.where(np.arange(d) == 0, z, 2.0)
        case "collinear":
            return z[:, :1] * rng.normal(size=d)
        case "heavy tail":
            return np.exp(5 * z)
        case "far away":
            return z + float(rng.choice([1e8, 1e15, -1e100]))
        case "signs of zero":
            return np.where(z > 0, 0.0, -0.0)
        case "small integers of 8 bits":
            return whole.astype(np.int8)
        case "float32" | "float16":
            return (z * 30).astype(kind)
        case _:
            return z


@dataclasses.dataclass(frozen=True)
class Case:
    """What is fitted, and how; everything follows from these.

    Attributes:
        kinds: of source and target; the target may be "same" as the source, or all "equal" to its first row.
        rows: of source and target.
        dim: features.
        condition: one of `METHODS`.
        parameters: of the estimator.
        seed: of the numbers.
    """

    kinds: tuple[str, str]
    rows: tuple[int, int]
    dim: int
    condition: str
    parameters: dict[str, Any]
    seed: int

    def samples(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Source, target, and what `fit` is told of their conditions."""
        rng = np.random.default_rng(self.seed)
        (n, m), (first, second) = self.rows, self.kinds
        x = values(first, n, self.dim, rng)
        if second == "same":
            z = x.copy()
        elif second == "equal":
            z = np.repeat(x[:1], m, axis=0)
        else:
            z = values(second, m, self.dim, rng)
        given: dict[str, Any] = {}
        if self.condition == "covariates":
            p = int(rng.integers(1, 3))
            given["source_covariates"] = values("ties", len(x), p, rng)
            given["target_covariates"] = values("normal", len(z), p, rng)
        elif self.condition.startswith("labels"):
            given["source_labels"] = rng.integers(3, size=len(x)).tolist()
            if self.condition == "labels":
                given["target_labels"] = rng.integers(2, size=len(z)).tolist()
        return x, z, given


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Cases of all kinds."""
    kind = st.sampled_from(KINDS)
    parameters: dict[str, Any] = {
        "potential": draw(st.sampled_from(("free", "convex", "residual"))),
        "start": draw(st.sampled_from(("affine", "affine", "identity"))),
        "scale": draw(st.sampled_from(("auto", "common", "feature"))),
        "dtype": draw(st.sampled_from(("float32", "float32", "float64"))),
        "max_steps": draw(st.integers(1, 3)),
    }
    if draw(st.integers(0, 4)) == 0:
        parameters["settings"] = {"z_threshold": 0.0}
    return Case(
        kinds=(draw(kind), draw(st.one_of(kind, st.sampled_from(("same", "equal"))))),
        rows=(draw(st.integers(2, 60)), draw(st.integers(2, 60))),
        dim=draw(st.integers(1, 8)),
        condition=draw(st.sampled_from(("none", "none", *METHODS))),
        parameters=parameters,
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def own(given: dict[str, Any], side: str) -> dict[str, Any]:
    """Labels or covariates of the rows of a side, as methods take them."""
    return {
        name.removeprefix(f"{side}_"): value
        for name, value in given.items()
        if name.startswith(side)
    }


def finite(found: Any, what: str) -> None:
    """Raise where a result is not finite."""
    values = np.asarray(found, dtype=np.float64)
    if not np.isfinite(values).all():
        raise AssertionError(f"{what}: {np.count_nonzero(~np.isfinite(values))} values")


def go_through(case: Case) -> str:
    """Fit, and ask the map for everything; return where it was refused, or an empty text.

    Raises:
        AssertionError: where a result is not finite, or a saved map gives another.
    """
    x, z, given = case.samples()
    told = {"n_networks": 1, "n_jobs": 1, "random_state": 0, **case.parameters}
    step = "fit"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            for ours in (ConvergenceWarning, DataWarning):
                warnings.simplefilter("ignore", ours)
            ot = OptimalTransport(**told).fit(x, z, **given)
            rows, moved = _known(ot, x, own(given, "source"))
            step = "transform"
            image = ot.transform(rows, **moved)
            finite(image, "transform")
            step = "inverse_transform"
            finite(ot.inverse_transform(image, **moved), "inverse_transform")
            step = "save"
            with tempfile.TemporaryDirectory() as folder:
                ot.save(Path(folder) / "model")
                again = load(Path(folder) / "model").transform(rows, **moved)
            if not np.array_equal(image, again):
                raise AssertionError("a saved map gives other results")
            if not {"labels"} & moved.keys():
                step = "distance"
                finite(float(ot.distance()), "distance")
            if case.condition in ("none", "covariates"):
                step = "score"
                finite(ot.score(x, z, **given), "score")
    except (DataError, ModelFileError) as refused:
        return f"{step}: {refused}"
    return ""


def _known(
    ot: OptimalTransport, x: np.ndarray, condition: dict[str, Any]
) -> tuple[np.ndarray, dict[str, Any]]:
    """The rows of classes that the map knows, with their labels, or all rows with what was given."""
    if ot.labels_ is None:
        return x, condition
    labels = condition["labels"]
    keep = [i for i, label in enumerate(labels) if label in ot.labels_]
    return x[keep], {"labels": [labels[i] for i in keep]}
