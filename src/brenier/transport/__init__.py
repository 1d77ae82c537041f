"""Optimal transport: costs, coordinates, the dual objective, and the maps it gives."""

from brenier.transport.costs import Cost, SquaredEuclidean

__all__ = ["Cost", "SquaredEuclidean"]
