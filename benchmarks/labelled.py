"""Baselines on rows with labels: each is given those it takes, in `fit` and when it moves rows."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

Labels = Sequence[Any] | Tensor


class FittedRival(NamedTuple):
    """A fitted baseline and facts about it: seconds, numbers stored, steps, and whether it saw labels."""

    estimator: Any
    facts: dict[str, Any]

    def moved(self, x: Tensor, labels: Labels) -> Tensor:
        """Return T(x), each row by its label if the map needs them: (n, d) -> (n, d)."""
        return _sent(self.estimator.transform, x, labels)

    def returned(self, z: Tensor, labels: Labels) -> Tensor | None:
        """Return T^{-1}(z) likewise, or None where there is no inverse."""
        if not getattr(self.estimator, "has_inverse", True):
            return None
        return _sent(self.estimator.inverse_transform, z, labels)


def fitted_rival(
    kind: Callable[..., Any],
    told: Mapping[str, Any],
    budget: Mapping[str, Any],
    source: tuple[Tensor, Labels],
    target: tuple[Tensor, Labels],
) -> FittedRival:
    """Return a baseline fitted to rows and, where it takes them, their labels.

    Args:
        kind: its class.
        told: parameters of its own.
        budget: parameters like `max_time` and `random_state`, of which those are given that it has.
        source, target: rows (n, d), (m, d) and a label of each.
    """
    known = inspect.signature(kind).parameters
    given = {name: value for name, value in budget.items() if name in known}
    estimator = kind(**{**given, **told})
    sees = "source_labels" in inspect.signature(estimator.fit).parameters
    labels = {"source_labels": source[1], "target_labels": target[1]} if sees else {}
    began = time.perf_counter()
    estimator.fit(source[0], target[0], **labels)
    facts = {
        "fit_seconds": time.perf_counter() - began,
        "parameters": stored_numbers(estimator.map_),
        "labels": "yes" if sees else "none",
    }
    steps = estimator.diagnostics_.get("steps")
    return FittedRival(estimator, facts if steps is None else facts | {"steps": steps})


def stored_numbers(fitted: Any) -> int:
    """Return how many numbers a fitted map stores, in networks of whatever name."""
    known = getattr(fitted, "parameters", None)
    if isinstance(known, int):
        return known
    if isinstance(fitted, nn.Module):
        return sum(part.numel() for part in fitted.parameters())
    networks = [part for part in vars(fitted).values() if isinstance(part, nn.Module)]
    return sum(stored_numbers(part) for part in networks)


def _sent(method: Callable[..., Any], rows: Tensor, labels: Labels) -> Tensor:
    takes = {"label", "labels"} & set(inspect.signature(method).parameters)
    found: Tensor = method(rows, **dict.fromkeys(takes, labels))
    return found.detach()
