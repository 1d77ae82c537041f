"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.amortised import W2OT, AmortisedSettings
from brenier.baselines.assignment_dual import WGANQC, AssignmentSettings
from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.batch_dual import MMBatch
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.closed_form import ClosedForm
from brenier.baselines.continuous_flow import FFJORD, RNODE
from brenier.baselines.continuous_settings import ContinuousFlowSettings
from brenier.baselines.convex_dual import MMv1, MMv1Settings
from brenier.baselines.cycle import W2GN, CycleSettings
from brenier.baselines.expectile import ENOT, ExpectileSettings
from brenier.baselines.gnot import GNOT, GNOTSettings
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.linear import Linear, LinearByClass
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.monge_gap import MongeGap, MongeGapSettings
from brenier.baselines.neural_map import NOT, NeuralMapSettings
from brenier.baselines.ofm import OFM, OFMSettings
from brenier.baselines.ot_cfm import OTCFM, FlowMatchingSettings
from brenier.baselines.ot_flow import OTFlow
from brenier.baselines.ot_flow_settings import OTFlowSettings
from brenier.baselines.otdd import OTDDFlow
from brenier.baselines.plan_maps import EntropicMap, ExactPlanMap
from brenier.baselines.registry import BASELINES, load_any
from brenier.baselines.regularised import (
    LS,
    LSAllPairs,
    LSBarycentric,
    RegularisedSettings,
)
from brenier.baselines.sinkhorn_lpl1 import SinkhornLpL1
from brenier.baselines.trivial import Constant, Identity
from brenier.baselines.weak import WeakNOT, WeakSettings

__all__ = [
    "BASELINES",
    "ENOT",
    "FFJORD",
    "GNOT",
    "LS",
    "MM",
    "NOT",
    "OFM",
    "OTCFM",
    "RNODE",
    "W2GN",
    "W2OT",
    "WGANQC",
    "AmortisedSettings",
    "AssignmentSettings",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "ClosedForm",
    "Constant",
    "ContinuousFlowSettings",
    "CycleSettings",
    "EntropicMap",
    "ExactPlanMap",
    "ExpectileSettings",
    "FlowMatchingSettings",
    "GNOTSettings",
    "Identity",
    "LSAllPairs",
    "LSBarycentric",
    "LearnedBaseline",
    "LearnedSettings",
    "Linear",
    "LinearByClass",
    "MMBatch",
    "MMConvex",
    "MMReversed",
    "MMv1",
    "MMv1Settings",
    "MinimaxSettings",
    "MongeGap",
    "MongeGapSettings",
    "NeuralMapSettings",
    "OFMSettings",
    "OTDDFlow",
    "OTFlow",
    "OTFlowSettings",
    "RegularisedSettings",
    "SavedModelBaseline",
    "SinkhornLpL1",
    "WeakNOT",
    "WeakSettings",
    "load_any",
]
