"""Optimal transport: costs, coordinates, the dual objective, and the maps it gives."""

__all__: list[str] = []
