"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.registry import BASELINES, load_any

__all__ = [
    "BASELINES",
    "MM",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "LearnedBaseline",
    "LearnedSettings",
    "MMConvex",
    "MMReversed",
    "MinimaxSettings",
    "SavedModelBaseline",
    "load_any",
]
