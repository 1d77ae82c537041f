"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.closed_form import ClosedForm
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.linear import Linear, LinearByClass
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.monge_gap import MongeGap, MongeGapSettings
from brenier.baselines.ofm import OFM, OFMSettings
from brenier.baselines.ot_cfm import OTCFM, FlowMatchingSettings
from brenier.baselines.plan_maps import EntropicMap, ExactPlanMap
from brenier.baselines.registry import BASELINES, load_any
from brenier.baselines.trivial import Constant, Identity

__all__ = [
    "BASELINES",
    "MM",
    "OFM",
    "OTCFM",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "ClosedForm",
    "Constant",
    "EntropicMap",
    "ExactPlanMap",
    "FlowMatchingSettings",
    "Identity",
    "LearnedBaseline",
    "LearnedSettings",
    "Linear",
    "LinearByClass",
    "MMConvex",
    "MMReversed",
    "MinimaxSettings",
    "MongeGap",
    "MongeGapSettings",
    "OFMSettings",
    "SavedModelBaseline",
    "load_any",
]
