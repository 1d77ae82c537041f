"""Affine coordinates in which a transport problem becomes an easy one: of all rows, by class, by covariate."""

from brenier.transport.coordinates.affine import (
    Coordinates,
    aligned_coordinates,
    gaussian_coordinates,
    gaussian_pair,
    identity_coordinates,
    plain_coordinates,
)
from brenier.transport.coordinates.by_class import Classes
from brenier.transport.coordinates.by_covariate import Covariates, covariate_coordinates
from brenier.transport.coordinates.conditioned import moved_at_once
from brenier.transport.coordinates.units import _check_range, feature_units

__all__ = [
    "Classes",
    "Coordinates",
    "Covariates",
    "_check_range",
    "aligned_coordinates",
    "covariate_coordinates",
    "feature_units",
    "gaussian_coordinates",
    "gaussian_pair",
    "identity_coordinates",
    "moved_at_once",
    "plain_coordinates",
]
