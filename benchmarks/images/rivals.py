"""Rivals on latents: the baselines of the library, by the names of their registry, and some with other settings.

Those that take labels are given them; the others see rows alone, so that the tenth is the accuracy they can expect
were it not for the decoder, which is given the label. A name that the registry does not have yet is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.images.methods import Labelled, Method, Moved
from benchmarks.images.networks import Setting
from benchmarks.labelled import fitted_rival
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
        found = fitted_rival(kind, told, budget, source, target)
        return Moved(found.moved(*test), found.facts)

    return method


RIVALS: Mapping[str, Method] = {
    **{name: rival(BASELINES[name], {}) for name in KNOWN if name in BASELINES},
    **{name: rival(kind, told) for name, (kind, told) in VARIED.items()},
}
