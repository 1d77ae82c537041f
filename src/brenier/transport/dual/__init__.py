"""The dual objective of optimal transport: conjugates, where they start, batches, and the task of training."""

from brenier.transport.dual.batches import Batches, Draw
from brenier.transport.dual.conjugate import Conjugate, conjugate
from brenier.transport.dual.convexity import convexity_penalty
from brenier.transport.dual.curvature import (
    Probe,
    curvature_penalty,
    least_curvature,
)
from brenier.transport.dual.inner import usual_method
from brenier.transport.dual.marginals import UnbalancedMass, priced, share_of_mass
from brenier.transport.dual.members import MemberSamples, held_out_value
from brenier.transport.dual.objective import Batch, DualObjective
from brenier.transport.dual.parallel import ParallelSettings
from brenier.transport.dual.settings import DualSettings
from brenier.transport.dual.starts import (
    InitialPoints,
    StartSettings,
    best_initial_points,
)
from brenier.transport.dual.task import DualTask
from brenier.transport.dual.value import DualValue, shares_of, uniform_weights

__all__ = [
    "Batch",
    "Batches",
    "Conjugate",
    "Draw",
    "DualObjective",
    "DualSettings",
    "DualTask",
    "DualValue",
    "InitialPoints",
    "MemberSamples",
    "ParallelSettings",
    "Probe",
    "StartSettings",
    "UnbalancedMass",
    "best_initial_points",
    "conjugate",
    "convexity_penalty",
    "curvature_penalty",
    "held_out_value",
    "least_curvature",
    "priced",
    "share_of_mass",
    "shares_of",
    "uniform_weights",
    "usual_method",
]
