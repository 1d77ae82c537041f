"""Rivals on latents: the baselines of the library, by the names of their registry, and some with other settings.

Those that take labels are given them; the others see rows alone, so that the tenth is the accuracy they can expect
were it not for the decoder, which is given the label. A name that the registry does not have yet is left out.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.images.methods import Labelled, Method, Moved
from benchmarks.images.networks import Setting
from brenier.baselines import BASELINES, GNOT, CharacteristicFlow

KNOWN = (
    *("linear", "linear-by-class", "exact-plan", "entropic-map", "mm-reversed"),
    *("not", "not-weak", "enot", "w2ot", "monge-gap", "ot-cfm"),
    *("gnot", "otdd-flow", "sinkhorn-lpl1"),
)
FAIR = GNOT.presets["fair"]
VARIED: Mapping[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "gnot, ten labels a class": (
        GNOT,
        {"settings": dataclasses.replace(FAIR, labelled_rows=10)},
    ),
    "gnot, with noise": (GNOT, {"settings": dataclasses.replace(FAIR, noise=True)}),
    "characteristic flow": (CharacteristicFlow, {}),
}


def rival(kind: Callable[..., Any], told: Mapping[str, Any]) -> Method:
    """Return the method that fits a baseline to latents, with the steps and seconds of the setting."""

    def method(
        source: Labelled, target: Labelled, test: Labelled, setting: Setting, seed: int
    ) -> Moved:
        budget = {
            "max_time": setting.rival_seconds,
            "max_steps": setting.transport.get("max_steps"),
            "random_state": seed,
        }
        known = inspect.signature(kind).parameters
        estimator = kind(
            **{name: value for name, value in budget.items() if name in known}, **told
        )
        began = time.perf_counter()
        estimator.fit(source[0], target[0], **_labels(estimator.fit, source, target))
        seconds = time.perf_counter() - began
        takes = "labels" in inspect.signature(estimator.transform).parameters
        moved = estimator.transform(test[0], **({"labels": test[1]} if takes else {}))
        facts = {
            "fit_seconds": seconds,
            "parameters": counted(estimator.map_),
            "labels": "both" if _labels(estimator.fit, source, target) else "none",
        }
        steps = estimator.diagnostics_.get("steps")
        return Moved(
            moved.detach(), facts if steps is None else facts | {"steps": steps}
        )

    return method


def counted(fitted: Any) -> int:
    """Return how many numbers a fitted map stores."""
    known = getattr(fitted, "parameters", None)
    if isinstance(known, int):
        return known
    network = getattr(fitted, "network", fitted)
    return sum(part.numel() for part in network.parameters())


def _labels(
    fit: Callable[..., Any], source: Labelled, target: Labelled
) -> dict[str, torch.Tensor]:
    """Return the labels of both sides, for a fit that takes them."""
    if "source_labels" not in inspect.signature(fit).parameters:
        return {}
    return {"source_labels": source[1], "target_labels": target[1]}


RIVALS: Mapping[str, Method] = {
    **{name: rival(BASELINES[name], {}) for name in KNOWN if name in BASELINES},
    **{name: rival(kind, told) for name, (kind, told) in VARIED.items()},
}
