"""Affine coordinates in which a transport problem becomes an easy one: of all rows, by class, by covariate."""

from brenier.transport.coordinates.affine import (
    Coordinates,
    Metric,
    aligned_coordinates,
    identity_coordinates,
    plain_coordinates,
    regularised_pair,
)
from brenier.transport.coordinates.by_class import Classes
from brenier.transport.coordinates.by_covariate import (
    CovariateRows,
    Covariates,
    covariate_coordinates,
)
from brenier.transport.coordinates.conditioned import (
    ConditionedCoordinates,
    Conditions,
    rows_encoded_at_once,
    to_coordinates,
)
from brenier.transport.coordinates.in_tensors import (
    TensorConditions,
    tensor_conditions,
)
from brenier.transport.coordinates.settings import CoordinateSettings
from brenier.transport.coordinates.span import (
    gaussian_coordinates,
    gaussian_fits,
    moment_coordinates,
    without_choice,
)
from brenier.transport.coordinates.units import (
    cost_units,
    drowned_features,
    feature_units,
)

__all__ = [
    "Classes",
    "ConditionedCoordinates",
    "Conditions",
    "CoordinateSettings",
    "Coordinates",
    "CovariateRows",
    "Covariates",
    "Metric",
    "TensorConditions",
    "aligned_coordinates",
    "cost_units",
    "covariate_coordinates",
    "drowned_features",
    "feature_units",
    "gaussian_coordinates",
    "gaussian_fits",
    "identity_coordinates",
    "moment_coordinates",
    "plain_coordinates",
    "regularised_pair",
    "rows_encoded_at_once",
    "tensor_conditions",
    "to_coordinates",
    "without_choice",
]
