"""Fitted maps: forward, inverse, distance, interpolation, and how they are saved."""

from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.map import TransportMap
from brenier.transport.maps.round_trip import RoundTrip, inverse_errors, round_trip
from brenier.transport.maps.storage import load_map, method_from_json, save_map

__all__ = [
    "ConditionalMap",
    "Distance",
    "RoundTrip",
    "TransportMap",
    "inverse_errors",
    "load_map",
    "method_from_json",
    "round_trip",
    "save_map",
]
