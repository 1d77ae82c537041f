"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.gnot import GNOT, GNOTSettings
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.registry import BASELINES, load

__all__ = [
    "BASELINES",
    "GNOT",
    "MM",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "GNOTSettings",
    "LearnedBaseline",
    "LearnedSettings",
    "MMConvex",
    "MMReversed",
    "MinimaxSettings",
    "SavedModelBaseline",
    "load",
]
