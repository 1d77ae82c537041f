"""The dual objective of optimal transport: conjugates, where they start, batches, and how they are trained."""

from brenier.transport.dual.batches import Batches, Draw
from brenier.transport.dual.conjugate import Conjugate, conjugate
from brenier.transport.dual.convexity import excess
from brenier.transport.dual.objective import (
    Batch,
    DualObjective,
    DualValue,
    envelope,
    terms,
)

__all__ = [
    "Batch",
    "Batches",
    "Conjugate",
    "Draw",
    "DualObjective",
    "DualValue",
    "conjugate",
    "envelope",
    "excess",
    "terms",
]
