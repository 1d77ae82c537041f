"""Pairs of laws whose optimal maps are known."""

__all__: list[str] = []
