"""What a fitted flow is worth, on rows that neither training nor selection has seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.baselines.flow import Flow
from brenier.baselines.flow_loss import (
    backward_map,
    energy_terms,
    forward_map,
    residuals,
)
from brenier.baselines.flow_network import FlowNetwork
from brenier.errors import ConvergenceWarning, warn
from brenier.training import Run


@dataclasses.dataclass(frozen=True)
class DiagnosticSettings:
    """How much the diagnostics compute.

    Attributes:
        eigenvalue_rows: of which the derivative of the map is decomposed, at most.
        eigenvalue_operations: about as many in all: of many features fewer rows are.
    """

    eigenvalue_rows: int = 512
    eigenvalue_operations: float = 1e8


DIAGNOSTICS = DiagnosticSettings()


def flow_diagnostics(
    run: Run[FlowNetwork], flow: Flow, rows: Sequence[tuple[Tensor, Tensor]]
) -> dict[str, Any]:
    """Return how training ended and what came of it; warn of what a user must not miss.

    Args:
        run: that has ended.
        flow: its result.
        rows: of every class, held-out rows of both sides in the coordinates.
    """
    u, cost = flow.network, flow.own_cost
    x = torch.cat([source for source, _ in rows])
    with torch.no_grad():
        moved = forward_map(u, cost, x)
        back = backward_map(u, cost, moved)
        squares = _squared_residuals(flow, rows)
        energies = [energy_terms(forward_map(u, cost, a), b) for a, b in rows]
    spread = (x - x.mean(0)).square().sum(-1).mean().sqrt()
    away = (back - x).square().sum(-1).mean().sqrt()
    least = least_eigenvalues(flow, x)
    noise = math.fsum(each.chance**2 for each in energies)
    diagnostics = {
        "stopped": run.finished,
        "steps": run.step,
        "rollbacks": run.rollbacks,
        "residual": float(squares.mean().sqrt()),
        "least_eigenvalue": float(least.min()),
        "round_trip": float(away / spread) if float(spread) else float(away),
        "energy": math.fsum(each.value for each in energies) / len(energies),
        "energy_by_chance": math.sqrt(noise) / len(energies),
        "rows": len(x),
    }
    # Classes that cross are asked for: the map of all of them is then none of optimal transport.
    crossing = int((least <= 0).sum()) if len(rows) == 1 else 0
    _warn(run, crossing, len(least))
    return diagnostics


def least_eigenvalues(flow: Flow, x: Tensor) -> Tensor:
    """Return the least eigenvalue of the derivative of the map, I + Hess h* Hess u(., 0), at some rows, float64.

    They are real, since the first of both is positive semi-definite. Where all are above zero characteristics do not
    cross before time 1.

    Args:
        flow: the map.
        x: (n, d), rows in the coordinates, of which the first are taken: about as many as there is time for.
    """
    d = x.shape[1]
    most = int(DIAGNOSTICS.eigenvalue_operations / d**3)
    at = x[: max(2, min(DIAGNOSTICS.eigenvalue_rows, most))].detach().requires_grad_()
    with torch.enable_grad():
        moved = forward_map(flow.network, flow.own_cost, at)
        slopes = [
            torch.autograd.grad(moved[:, i].sum(), at, retain_graph=True)[0]
            for i in range(d)
        ]
    derivative = torch.stack(slopes, 1).double().cpu()
    return torch.linalg.eigvals(derivative).real.amin(-1)


def _squared_residuals(flow: Flow, rows: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the squared residuals of the formula along the characteristics of source rows, at even times."""
    found = []
    for x, _ in rows:
        t = torch.linspace(0, 1, len(x), dtype=x.dtype, device=x.device)
        moved = forward_map(flow.network, flow.own_cost, x)
        between = torch.lerp(x, moved, t.unsqueeze(-1))
        found.append(residuals(flow.network, flow.own_cost, between, t).square())
    return torch.cat(found)


def _warn(run: Run[FlowNetwork], crossing: int, rows: int) -> None:
    """Warn of a run that lost its way, and of characteristics that cross."""
    if run.finished.startswith("gave up"):
        warn(
            f"training {run.finished}; the best flow seen is kept. Lower `learning_rate`",
            ConvergenceWarning,
        )
    if crossing:
        warn(
            f"characteristics cross before time 1 near {crossing} of {rows} held-out rows (an eigenvalue of the map's "
            "derivative is not positive): the map is not optimal there, and has no inverse. Give more steps",
            ConvergenceWarning,
        )
