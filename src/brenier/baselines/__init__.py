"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.amortised import W2OT, AmortisedSettings
from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.expectile import ENOT, ExpectileSettings
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.neural_map import NOT, NeuralMapSettings
from brenier.baselines.registry import BASELINES, load_any
from brenier.baselines.weak import WeakNOT, WeakSettings

__all__ = [
    "BASELINES",
    "ENOT",
    "MM",
    "NOT",
    "W2OT",
    "AmortisedSettings",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "ExpectileSettings",
    "LearnedBaseline",
    "LearnedSettings",
    "MMConvex",
    "MMReversed",
    "MinimaxSettings",
    "NeuralMapSettings",
    "SavedModelBaseline",
    "WeakNOT",
    "WeakSettings",
    "load_any",
]
