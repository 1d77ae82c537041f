"""Fitted maps: forward, inverse, distance, interpolation, and how they are saved."""

from brenier.transport.maps.batched import in_batches
from brenier.transport.maps.certificates import (
    Audit,
    Certificate,
    Excess,
    Figures,
    MapError,
    Twin,
    audited,
    certificate_of,
    estimated_error,
    excess_of,
    figures_of,
    over_covariates,
    pooled_excess,
    pooled_figures,
)
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.cost_distance import CostDistance
from brenier.transport.maps.cost_rows import CostRowMap
from brenier.transport.maps.cross_fit import (
    AffinePart,
    CrossFitSettings,
    combined,
    cross_fitted,
)
from brenier.transport.maps.density import SourceLogDensity
from brenier.transport.maps.description import label_fault, method_from_json
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.export import Exported
from brenier.transport.maps.ground import Ground
from brenier.transport.maps.map import TransportMap
from brenier.transport.maps.pooled import CountedRows, pooled_distance
from brenier.transport.maps.round_trip import (
    MISSED,
    RoundTrip,
    RoundTripSettings,
    inverse_errors,
    round_trip,
)
from brenier.transport.maps.storage import load_map, save_map
from brenier.transport.maps.support import (
    ALL_CLASSES,
    SUPPORT,
    Support,
    calibrate_support,
)

__all__ = [
    "ALL_CLASSES",
    "MISSED",
    "SUPPORT",
    "AffinePart",
    "Audit",
    "Certificate",
    "ConditionalMap",
    "CostDistance",
    "CostRowMap",
    "CountedRows",
    "CrossFitSettings",
    "Distance",
    "Excess",
    "Exported",
    "Figures",
    "Ground",
    "MapError",
    "RoundTrip",
    "RoundTripSettings",
    "SourceLogDensity",
    "Support",
    "TransportMap",
    "Twin",
    "audited",
    "calibrate_support",
    "certificate_of",
    "combined",
    "cross_fitted",
    "estimated_error",
    "excess_of",
    "figures_of",
    "in_batches",
    "inverse_errors",
    "label_fault",
    "load_map",
    "method_from_json",
    "over_covariates",
    "pooled_distance",
    "pooled_excess",
    "pooled_figures",
    "round_trip",
    "save_map",
]
