"""Closed-form affine maps: the optimal map between the Gaussian fits of both sides, of all rows or class by class.

    T(x) = m1 + A (x - m0),   A = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}

(Olkin and Pukelsheim, 1982; Knott and Smith, 1984), from sample means and covariances, the latter shrunk by Ledoit and
Wolf's rule, which vanishes like one over the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brenier.baselines.closed_form import ClosedForm, Computed, DrawnRows
from brenier.baselines.model import MapModel
from brenier.datasets import (
    LabelsLike,
    Sampler,
    TableLike,
    label_numbers,
    read,
)
from brenier.errors import DataError
from brenier.estimators import GivenConditions, validation
from brenier.statistics import (
    Gaussian,
    fit_gaussian,
    gaussian_map,
    moments,
    pool_covariances,
    regularised,
)
from brenier.transport.maps import in_batches


@dataclasses.dataclass(frozen=True)
class LinearSettings:
    """What keeps affine maps finite.

    Attributes:
        least_variance: of a side in any direction, in units of the average variance of both: of a feature that is
            constant there is no linear map.
        least_rows: of every class on either side.
    """

    least_variance: float = 1e-18
    least_rows: int = 2


LINEAR = LinearSettings()


class AffineParts(NamedTuple):
    """Affine maps both ways of k classes, x -> (x - source) ahead^T + target and back.

    Attributes:
        source, target: (k, d), means.
        ahead, back: (k, d, d), symmetric.
    """

    source: Tensor
    target: Tensor
    ahead: Tensor
    back: Tensor


class AffineModel(MapModel):
    """Affine maps both ways, one for every class; without classes, of one.

    Args:
        dim: d.
        classes: k.
        parts: the maps, or None where they are about to be loaded.
    """

    source: Tensor
    target: Tensor
    ahead: Tensor
    back: Tensor

    def __init__(
        self, dim: int, *, classes: int = 1, parts: AffineParts | None = None
    ) -> None:
        super().__init__()
        self.dim, self.classes = dim, classes
        if parts is None:
            rows, matrices = torch.zeros(classes, dim), torch.zeros(classes, dim, dim)
            parts = AffineParts(rows, rows.clone(), matrices, matrices.clone())
        for name, part in parts._asdict().items():
            self.register_buffer(name, part)

    def moved(self, x: Tensor) -> Tensor:
        """Return the forward map of the first class: (n, d) -> (n, d)."""
        return (x - self.source[0]) @ self.ahead[0] + self.target[0]

    def returned(self, z: Tensor) -> Tensor:
        """Return the inverse map of the first class: (n, d) -> (n, d)."""
        return (z - self.target[0]) @ self.back[0] + self.source[0]

    def moved_of(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return the forward maps of rows (n, d), each of the class of its number (n,): (n, d)."""
        return self._by_class(x, codes, self.source, self.ahead, self.target)

    def returned_of(self, z: Tensor, codes: Tensor) -> Tensor:
        """Return the inverse maps of rows (n, d), each of the class of its number (n,): (n, d)."""
        return self._by_class(z, codes, self.target, self.back, self.source)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim, "classes": self.classes}

    def _by_class(
        self, rows: Tensor, codes: Tensor, before: Tensor, matrix: Tensor, after: Tensor
    ) -> Tensor:
        """Return rows about the mean of their class, times its matrix, about its other mean, class by class."""
        found = torch.zeros_like(rows)
        for code in codes.unique().tolist():
            own = (codes == code).nonzero().squeeze(-1)
            moved = (rows[own] - before[code]) @ matrix[code] + after[code]
            found = found.index_copy(0, own, moved)
        return found


class Linear(ClosedForm):
    """The closed-form affine map between Gaussian fits, both ways.

    Exact where the sides are Gaussian, or one an affine image of the other by a symmetric positive definite matrix. On
    Gaussian pairs it is better than every network at the same number of rows, so no table of those is a result without
    it. It moves no mass within the shape of a law: of clusters or curves it knows the mean and the covariance alone.

    See `ClosedForm` for the parameters.

    >>> import numpy as np
    >>> from brenier.baselines import Linear
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> linear = Linear().fit(X, Y)
    >>> Z = linear.transform(X)
    >>> bool(np.allclose(Z.mean(0), Y.mean(0)))
    True
    >>> bool(np.allclose(linear.inverse_transform(Z), X))
    True
    """

    model_class = AffineModel

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the affine model of all rows."""
        x, z = (fit_gaussian(side, LINEAR.least_variance) for side in _both(rows))
        return Computed(_affine([x], [z]), {})


class LinearByClass(ClosedForm):
    """One closed-form affine map per class, between the rows of a class on either side; both ways.

    Covariances of classes lean on each other as far as they are alike, so that a class of few rows borrows from the
    rest (`brenier.statistics.pool_covariances`). Rows go with the map of their label, which `transform` and
    `inverse_transform` need.

    See `ClosedForm` for the parameters.

    >>> import numpy as np
    >>> from brenier.baselines import LinearByClass
    >>> rng = np.random.default_rng(0)
    >>> X, kind = rng.normal(size=(400, 2)), np.repeat(["a", "b"], 200)
    >>> Y = X[::-1] + np.where(kind[::-1] == "a", 5.0, -5.0)[:, None]
    >>> fitted = LinearByClass().fit(X, Y, source_labels=kind, target_labels=kind[::-1])
    >>> moved = fitted.transform(X, labels=kind)
    >>> bool(np.allclose(moved - X, np.where(kind == "a", 5.0, -5.0)[:, None]))
    True
    """

    model_class = AffineModel

    @validation.names_both_sides
    def fit(
        self,
        X: TableLike | Sampler,
        Y: TableLike | Sampler,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
    ) -> Self:
        """Compute the maps of all classes from X (n, d) to Y (m, d), unpaired.

        Args:
            X, Y: arrays, tensors, frames or memory-mapped arrays.
            source_labels, target_labels: one label per row, of any hashable kind. Rows of a class that only one side
                has are left out, with a `DataWarning`.

        Raises:
            DataError: for samples, labels or parameters that cannot be used.
        """
        given = GivenConditions(source_labels, target_labels, None, None)
        if given.kind() is None:
            raise DataError(
                "source_labels, target_labels: are missing; give one label per row of both sides, or fit Linear",
                argument="source_labels, target_labels",
            )
        return self._fit(X, Y, given)

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the affine models of all classes."""
        labels = rows.labels or ()
        sides = []
        for side, codes, name in (
            (rows.source, rows.source_codes, "source_labels"),
            (rows.target, rows.target_codes, "target_labels"),
        ):
            parts = [side[codes == code].cpu() for code in range(len(labels))]
            for label, part in zip(labels, parts, strict=True):
                if len(part) < LINEAR.least_rows:
                    raise DataError(
                        f"{name}: class {label!r} has one row, whose spread cannot be told; leave that class out, or "
                        "give more rows",
                        argument=name,
                    )
            pooled = pool_covariances([moments(part) for part in parts])
            sides.append([regularised(of, LINEAR.least_variance) for of in pooled])
        return Computed(_affine(*sides), {})

    def transform(self, X: TableLike, labels: LabelsLike | None = None) -> Any:
        """Return T(X), every row moved by the map of its class: (n, d) -> (n, d), the same kind as X.

        Args:
            X: the rows.
            labels: one per row, or one for all rows.

        Raises:
            DataError: for samples that do not fit those of `fit`, and labels that are missing or unknown.
        """
        check_is_fitted(self, "map_")
        return self._moved(X, "X", labels, self._ahead)

    def inverse_transform(self, Z: TableLike, labels: LabelsLike | None = None) -> Any:
        """Return T^{-1}(Z), every row moved back by the map of its class: (n, d) -> (n, d), the same kind as Z.

        Args:
            Z: the rows.
            labels: one per row, or one for all rows.

        Raises:
            DataError: for samples that do not fit those of `fit`, and labels that are missing or unknown.
        """
        check_is_fitted(self, "map_")
        return self._moved(Z, "Z", labels, self._back)

    def _ahead(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return the forward maps of rows in the units of the data: (n, d), (n,) -> (n, d)."""
        frame, model = self.map_.frame, self.map_.model
        rows = frame.from_source(x).to(self.map_.dtype)
        return frame.to_target(model.moved_of(rows, codes))  # type: ignore[operator]

    def _back(self, z: Tensor, codes: Tensor) -> Tensor:
        """Return the inverse maps of rows in the units of the data: (n, d), (n,) -> (n, d)."""
        frame, model = self.map_.frame, self.map_.model
        rows = frame.from_target(z).to(self.map_.dtype)
        return frame.to_source(model.returned_of(rows, codes))  # type: ignore[operator]

    def _moved(
        self,
        values: TableLike,
        name: str,
        labels: LabelsLike | None,
        function: Callable[[Tensor, Tensor], Tensor],
    ) -> Any:
        """Return a function of rows and the numbers of their classes, batch by batch."""
        samples = read(values, name)
        validation.check_seen(self, values, name, samples.shape[1])
        if labels is None:
            raise DataError(
                f"labels: are missing; every class has a map of its own, so give one label per row of {name}",
                argument="labels",
            )
        numbers = label_numbers(labels, self.labels_ or (), "labels", samples.shape[0])
        codes = torch.tensor(numbers, dtype=torch.int64, device=self.map_.device)
        found = in_batches(
            lambda rows, place: function(rows, codes[place]),
            samples,
            self.rows_at_once,
            self.map_.device,
            self.map_.dtype,
            samples.dtype,
            keep_graph=True,
        )
        return validation.as_configured(self, samples.restore(found))


def _both(rows: DrawnRows) -> tuple[Tensor, Tensor]:
    """Return both sides on the CPU, where moments are found."""
    return rows.source.cpu(), rows.target.cpu()


def _affine(source: list[Gaussian], target: list[Gaussian]) -> AffineModel:
    """Return the optimal affine maps between the Gaussians of both sides, class by class."""
    pairs = list(zip(source, target, strict=True))
    parts = AffineParts(
        torch.stack([x.mean for x in source]),
        torch.stack([z.mean for z in target]),
        torch.stack([gaussian_map(x, z) for x, z in pairs]),
        torch.stack([gaussian_map(z, x) for x, z in pairs]),
    )
    return AffineModel(len(source[0].mean), classes=len(pairs), parts=parts)
