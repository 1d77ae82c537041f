"""How good a map is on a pair whose true map is known, on fresh points, in float64.

L2-UVP      100 E|T(x) - T*(x)|^2 / tr Cov(nu), and likewise for the inverse with tr Cov(mu); in percent
cosine      of T - id and T* - id in L2(mu)
worst       share of that error which the worst hundredth of the rows carry: near a tear, or beyond the samples
round trip  median of |T^{-1}(T(x)) - x| / (E|x - E x|^2)^(1/2)
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from brenier import OptimalTransport
from brenier.datasets import Pair
from brenier.metrics import cosine, l2_uvp
from brenier.transport.maps.map import TransportMap

WORST = 0.01  # share of the rows
FRESH = (
    987_654_321  # added to the seed of fresh points, so that no training run draws them
)


def fresh(pair: Pair, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return fresh points and their true images in float64: x, T*(x), z, T*^{-1}(z), each (n, d)."""
    generator = torch.Generator().manual_seed(FRESH + seed)
    x = pair.source(n, generator).double()
    source = pair.source(n, generator).double()
    return x, pair.forward(x), pair.forward(source), source


def score(transport: TransportMap, pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the errors of a map in both directions, and how its inverse went."""
    x, _, z, _ = fresh(pair, n, seed)
    moved = transport(x)
    back, solution = transport.inverse(z, return_solution=True)
    again, second = transport.inverse(moved, return_solution=True)
    error = torch.linalg.vector_norm(again - x, dim=-1).median()
    spread = torch.linalg.vector_norm(x - x.mean(0), dim=-1).square().mean().sqrt()
    return score_images(moved, back, pair, n, seed) | {
        "round_trip": float(error / spread),
        "unconverged": solution.unconverged + second.unconverged,
        "inverse_evaluations": solution.evaluations_per_row,
    }


def score_images(
    moved: Tensor, back: Tensor, pair: Pair, n: int, seed: int
) -> dict[str, Any]:
    """Return the errors of images of the points `fresh` returns: moved of x, back of z, each (n, d)."""
    x, truth, z, preimage = fresh(pair, n, seed)
    return {
        "forward_uvp": l2_uvp(moved, truth, pair.variance_target),
        "backward_uvp": l2_uvp(back, preimage, pair.variance_source),
        "forward_worst": carried_by_worst(moved, truth),
        "backward_worst": carried_by_worst(back, preimage),
        "cosine": cosine(x, moved, truth),
        "backward_cosine": cosine(z, back, preimage),
    }


def carried_by_worst(moved: Tensor, truth: Tensor) -> float:
    """Return the share of the squared error that the worst rows carry, zero where there is none."""
    errors = (moved - truth).square().sum(-1).sort(descending=True).values
    total = float(errors.sum())
    return (
        float(errors[: math.ceil(WORST * len(errors))].sum()) / total if total else 0.0
    )


def training(ot: OptimalTransport) -> dict[str, Any]:
    """Return how training went, from the estimator's own record."""
    history = [
        row
        for row in ot.history_
        if row["inner_evaluations"] == row["inner_evaluations"]
    ]
    distance = ot.map_.distance()
    return {
        "selected": ot.diagnostics_["selected"],
        "stopped": ot.diagnostics_["stopped"],
        "steps": ot.diagnostics_["steps"],
        "setbacks": ot.diagnostics_["setbacks"],
        "train_seconds": ot.history_[-1]["seconds"],
        "train_evaluations": sum(row["inner_evaluations"] for row in history)
        / max(1, len(history)),
        "train_unconverged": sum(row["unconverged"] for row in history),
        "w2": distance.w2,
        "w2_error": distance.w2_error,
    }
