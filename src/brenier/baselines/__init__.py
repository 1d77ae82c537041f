"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.continuous_flow import FFJORD, RNODE
from brenier.baselines.continuous_settings import ContinuousFlowSettings
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.ot_flow import OTFlow
from brenier.baselines.ot_flow_settings import OTFlowSettings
from brenier.baselines.registry import BASELINES, load_any

__all__ = [
    "BASELINES",
    "FFJORD",
    "MM",
    "RNODE",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "ContinuousFlowSettings",
    "LearnedBaseline",
    "LearnedSettings",
    "MMConvex",
    "MMReversed",
    "MinimaxSettings",
    "OTFlow",
    "OTFlowSettings",
    "SavedModelBaseline",
    "load_any",
]
