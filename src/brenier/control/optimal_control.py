"""The estimator: from a problem to a feedback policy, by one training run that can be put down and picked up."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from brenier.control.controller import Controller, ImplicitController
from brenier.control.policy import FeedbackPolicy
from brenier.control.problem import ControlProblem
from brenier.control.rollout import Grid, Trajectory, roll_out
from brenier.control.search import ControlGradient, ControlSearch
from brenier.control.task import ControlSettings, ControlTask
from brenier.control.value import ValueFunction, ValueNetwork
from brenier.errors import DataError
from brenier.training import (
    Keeper,
    Progress,
    Run,
    Settings,
    fingerprint,
    resume_or_start,
    start_anew,
    train,
)


class OptimalControl:
    """Learns the value function of a problem of control, and with it the feedback that minimises its Hamiltonian.

    Args:
        problem: what to control.
        rule: how the minimiser of the Hamiltonian is differentiated: "one_step" (Jacobian-free backpropagation),
            "implicit", "unrolled", or a `ControlGradient`.
        scheme, steps: how time is divided, see `Grid`; by default Euler's method in the problem's own steps.
        terminal_condition: whether phi(T, .) = G is built in.
        network: a module (n, d + 1) -> (n,) of states and times in place of the default `ValueNetwork`.
        width, layers: of that default.
        batch_size: initial states of a step.
        learning_rate: of the default optimiser (SOAP); decays to zero along a cosine.
        max_steps: training steps at most.
        max_time: seconds of wall time that training may take, or None. Such runs are not reproducible to the bit.
        optimizer: a function of the parameters that makes another torch optimiser, or None.
        search: how the minimiser is found.
        settings: the loss and the initial states.
        random_state: seed.
        checkpoint: a folder where the run is kept until it has ended; another estimator of the same problem and
            settings goes on from it.
        device, dtype: where and in which precision to compute.
        verbose: whether to show a progress bar.

    Attributes:
        policy_: the `FeedbackPolicy`.
        history_: the training record, one dictionary per evaluation; "value" is the mean cost from held-out initial
            states.
        diagnostics_: why training stopped, and from fresh initial states the mean "cost" with its standard error, its
            parts, the share of "unconverged" controls, the "largest_residual", and where agents have positions
            their "smallest_distance".

    >>> from brenier.control import OptimalControl, QuadraticIntegrator
    >>> control = OptimalControl(QuadraticIntegrator(steps=10), max_steps=60).fit()
    >>> control.policy_.rollout(torch.ones(1, 1)).controls.shape
    torch.Size([10, 1, 1])
    """

    policy_: FeedbackPolicy
    history_: list[dict[str, float]]
    diagnostics_: dict[str, Any]
