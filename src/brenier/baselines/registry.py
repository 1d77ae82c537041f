"""All baselines by their short names, as tables and tests go through them, and how a saved one is found again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from brenier.baselines.amortised import W2OT
from brenier.baselines.assignment_dual import WGANQC
from brenier.baselines.batch_dual import MMBatch
from brenier.baselines.continuous_flow import FFJORD, RNODE
from brenier.baselines.convex_dual import MMv1
from brenier.baselines.cycle import W2GN
from brenier.baselines.expectile import ENOT
from brenier.baselines.gnot import GNOT
from brenier.baselines.learned import SavedModelBaseline
from brenier.baselines.linear import Linear, LinearByClass
from brenier.baselines.minimax import MM, MMConvex, MMReversed
from brenier.baselines.monge_gap import MongeGap
from brenier.baselines.neural_map import NOT
from brenier.baselines.ofm import OFM
from brenier.baselines.ot_cfm import OTCFM
from brenier.baselines.ot_flow import OTFlow
from brenier.baselines.otdd import OTDDFlow
from brenier.baselines.plan_maps import EntropicMap, ExactPlanMap
from brenier.baselines.regularised import LS, LSAllPairs, LSBarycentric
from brenier.baselines.saved import saved_estimator
from brenier.baselines.sinkhorn_lpl1 import SinkhornLpL1
from brenier.baselines.trivial import Constant, Identity
from brenier.baselines.weak import WeakNOT
from brenier.model_files import unfit

BASELINES: Mapping[str, type[SavedModelBaseline]] = {
    "identity": Identity,
    "constant": Constant,
    "linear": Linear,
    "linear-by-class": LinearByClass,
    "exact-plan": ExactPlanMap,
    "entropic-map": EntropicMap,
    "mm": MM,
    "mm-reversed": MMReversed,
    "mm-convex": MMConvex,
    "mm-v1": MMv1,
    "mm-batch": MMBatch,
    "w2gn": W2GN,
    "ls": LS,
    "ls-all-pairs": LSAllPairs,
    "ls-barycentric": LSBarycentric,
    "wgan-qc": WGANQC,
    "not": NOT,
    "not-weak": WeakNOT,
    "enot": ENOT,
    "w2ot": W2OT,
    "monge-gap": MongeGap,
    "ofm": OFM,
    "ot-cfm": OTCFM,
    "ffjord": FFJORD,
    "rnode": RNODE,
    "ot-flow": OTFlow,
    "gnot": GNOT,
    "otdd-flow": OTDDFlow,
    "sinkhorn-lpl1": SinkhornLpL1,
}


def load_any(
    folder: str | Path, device: torch.device | str = "cpu"
) -> SavedModelBaseline:
    """Return the baseline saved in a folder, whatever its class.

    Args:
        folder: where it was saved.
        device: to move it to.

    Raises:
        DataError: where the folder is no path, or the device cannot be used.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    name = saved_estimator(folder)
    known = {cls.__name__: cls for cls in BASELINES.values()}
    if name not in known:
        raise unfit(folder, ValueError(f"estimator: {name!r} is not known"))
    return known[name].load(folder, device)
