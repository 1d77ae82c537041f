"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.assignment_dual import WGANQC, AssignmentSettings
from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.batch_dual import MMBatch
from brenier.baselines.characteristic_flow import CharacteristicFlow
from brenier.baselines.convex_dual import MMv1, MMv1Settings
from brenier.baselines.cycle import W2GN, CycleSettings
from brenier.baselines.learned import LearnedBaseline, SavedModelBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.minimax import MM, MinimaxSettings, MMConvex, MMReversed
from brenier.baselines.registry import BASELINES, load_any
from brenier.baselines.regularised import (
    LS,
    LSAllPairs,
    LSBarycentric,
    RegularisedSettings,
)

__all__ = [
    "BASELINES",
    "LS",
    "MM",
    "W2GN",
    "WGANQC",
    "AssignmentSettings",
    "Baseline",
    "BaselineMap",
    "CharacteristicFlow",
    "CycleSettings",
    "LSAllPairs",
    "LSBarycentric",
    "LearnedBaseline",
    "LearnedSettings",
    "MMBatch",
    "MMConvex",
    "MMReversed",
    "MMv1",
    "MMv1Settings",
    "MinimaxSettings",
    "RegularisedSettings",
    "SavedModelBaseline",
    "load_any",
]
