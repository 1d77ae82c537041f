"""How good a map is on a pair whose true map is known, on points that training never saw, in float64.

L2-UVP      100 E|T(x) - T*(x)|^2 / tr Cov(nu), and likewise for the inverse with tr Cov(mu); in percent
cosine      of T - id and T* - id in L2(mu)
worst       share of that error in the worst hundredth of the rows: near a discontinuity, or beyond the samples
round trip  median of |T^{-1}(T(x)) - x| / (E|x - E x|^2)^(1/2); `not_back`: share of the rows where it is above 1e-3

The columns that several tables share are here too.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import Column
from brenier import OptimalTransport, TransportMap
from brenier.datasets import Pair
from brenier.metrics import cosine, l2_uvp

WORST = 0.01  # share of the rows
BACK = 1e-3  # of the spread: a row that comes back within it has come back
# Added to the seed of evaluation points, so that no training run draws them.
EVALUATION_SEED = 987_654_321

FORWARD = Column("forward UVP %", "forward_uvp", ".3f")
BACKWARD = Column("backward UVP %", "backward_uvp", ".3f")
COSINE = Column("cosine", "cosine", ".4f")
ROUND_TRIP = Column("round trip", "round_trip", ".1e", max)
UNCONVERGED = Column("unconverged", "unconverged", ".0f", max)
SELECTED = Column("selected", "selected")
ROLLBACKS = Column("rollbacks", "rollbacks", ".0f", max)
STEPS = Column("steps", "steps", ".0f")
INNER = Column("inner evaluations per row", "train_evaluations", ".1f")
SECONDS = Column("seconds", "train_seconds", ".0f")
STOPPED = Column("stopped by", "stopped")


def evaluation_points(
    pair: Pair, n: int, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return evaluation points and their true images in float64: x, T*(x), z, T*^{-1}(z), each (n, d)."""
    generator = torch.Generator().manual_seed(EVALUATION_SEED + seed)
    x = pair.source(n, generator).double()
    source = pair.source(n, generator).double()
    return x, pair.forward(x), pair.forward(source), source


def score(transport: TransportMap, pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the errors of a map in both directions, and facts about its inverse."""
    x, _, z, _ = evaluation_points(pair, n, seed)
    moved = transport(x)
    back, solution = transport.inverse(z, return_solution=True)
    again, second = transport.inverse(moved, return_solution=True)
    errors = torch.linalg.vector_norm(again - x, dim=-1)
    spread = torch.linalg.vector_norm(x - x.mean(0), dim=-1).square().mean().sqrt()
    return score_images(moved, back, pair, n, seed) | {
        "round_trip": float(errors.median() / spread),
        "not_back": float((errors > BACK * spread).double().mean()),
        "unconverged": solution.unconverged + second.unconverged,
        "inverse_evaluations": solution.evaluations_per_row,
    }


def score_images(
    moved: Tensor, back: Tensor, pair: Pair, n: int, seed: int
) -> dict[str, Any]:
    """Return the errors of images of the points of `evaluation_points`: moved of x, back of z, each (n, d)."""
    x, truth, z, preimage = evaluation_points(pair, n, seed)
    return {
        "forward_uvp": l2_uvp(moved, truth, pair.variance_target),
        "backward_uvp": l2_uvp(back, preimage, pair.variance_source),
        "forward_worst": share_of_worst(moved, truth),
        "backward_worst": share_of_worst(back, preimage),
        "cosine": cosine(x, moved, truth),
        "backward_cosine": cosine(z, back, preimage),
    }


def share_of_worst(moved: Tensor, truth: Tensor) -> float:
    """Return the share of the squared error in the worst rows, zero where there is none."""
    errors = (moved - truth).square().sum(-1).sort(descending=True).values
    total = float(errors.sum())
    if not total:
        return 0.0
    return float(errors[: math.ceil(WORST * len(errors))].sum()) / total


def training_facts(ot: OptimalTransport) -> dict[str, Any]:
    """Return how training went, from the estimator's own record."""
    distance = ot.map_.distance()
    return {
        **{name: ot.diagnostics_[name] for name in ("selected", "stopped", "steps")},
        "rollbacks": ot.diagnostics_["rollbacks"],
        "train_seconds": ot.history_[-1]["seconds"],
        **inner_facts(ot.history_),
        "w2": distance.w2,
        "w2_error": distance.w2_error,
    }


def inner_facts(history: list[dict[str, Any]]) -> dict[str, float]:
    """Return the evaluations per row, and the unconverged rows, of all inner problems of training."""
    solved = [row for row in history if not math.isnan(row["inner_evaluations"])]
    evaluations = sum(row["inner_evaluations"] for row in solved)
    return {
        "train_evaluations": evaluations / max(1, len(solved)),
        "train_unconverged": sum(row["unconverged"] for row in solved),
    }
