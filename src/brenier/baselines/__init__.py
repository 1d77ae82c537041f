"""Rivals of `OptimalTransport`, each an estimator of its own with the same contract; nothing below imports them."""

from brenier.baselines.base import Baseline, BaselineMap
from brenier.baselines.characteristic_flow import CharacteristicFlow
    "ClosedForm",
    "Constant",
    "Identity",
