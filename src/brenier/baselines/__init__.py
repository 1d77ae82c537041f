"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.closed_form import ClosedForm
from brenier.baselines.gnot import GNOT, GNOTSettings
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.linear import Linear, LinearByClass
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.otdd import OTDDFlow
from brenier.baselines.registry import BASELINES, load_any
from brenier.baselines.sinkhorn_lpl1 import SinkhornLpL1
from brenier.baselines.trivial import Constant, Identity

__all__ = [
    "BASELINES",
    "GNOT",
    "MM",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "ClosedForm",
    "Constant",
    "GNOTSettings",
    "Identity",
    "LearnedBaseline",
    "LearnedSettings",
    "Linear",
    "LinearByClass",
    "MMConvex",
    "MMReversed",
    "MinimaxSettings",
    "OTDDFlow",
    "SavedModelBaseline",
    "SinkhornLpL1",
    "load_any",
]
