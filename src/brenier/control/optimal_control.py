"""The estimator: from a problem to a feedback policy, by one training run that can be put down and picked up."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brenier.control.checks import require_count, require_device, require_number
from brenier.control.controller import Controller, ImplicitController
from brenier.control.policy import FeedbackPolicy
from brenier.control.probe import require_network, require_sound
from brenier.control.problem import ControlProblem, UsualTraining
from brenier.control.problems import problem_named
from brenier.control.rollout import Grid, Trajectory, roll_out
from brenier.control.search import ControlGradient, ControlSearch
from brenier.control.task import ControlSettings, ControlTask
from brenier.control.value import ValueFunction, ValueNetwork
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.statistics import standard_error
from brenier.training import (
    Keeper,
    MakeOptimiser,
    Progress,
    Run,
    Settings,
    Start,
    conducted,
    fingerprint,
    launched,
    remove_finished,
    resume_or_start,
    start_anew,
    train,
)

USUAL_GRADIENT, USUAL_SEARCH = ControlGradient(), ControlSearch()


class OptimalControl:
    """Learns the value function of a problem of control, and with it the feedback that minimises its Hamiltonian.

    The method is that of "End-to-End Training of High-Dimensional Optimal Control with Implicit Hamiltonians via
    Jacobian-Free Backpropagation" (arXiv 2510.00359); see `docs/control.md`.

    Args:
        problem: what to control, a `ControlProblem` or the name of one of `brenier.control.PROBLEMS`.
        gradient: how the minimiser of the Hamiltonian is differentiated: "one_step" (Jacobian-free backpropagation),
            "implicit", "unrolled", or a `ControlGradient`.
        search: how that minimiser is found.
        scheme, steps: how time is divided, see `Grid`; by default Euler's method in the problem's own steps.
        terminal_condition: whether phi(T, .) = G holds by construction. Not where G is a stiff penalty: far from T its
            gradient misleads.
        network: a module (n, d + 1) -> (n,) of states and times in the place of the usual `ValueNetwork`; or a
            `Controller` of the problem.
        width, layers: of the usual network; the width by default as `problem.usual_training()` says.
        batch_size: initial states of a step; by default as there.
        learning_rate: of the usual optimiser (SOAP), which decays to zero along a cosine; by default as there.
        max_steps: training steps at most; by default as there, or with `max_time` as many as it allows.
        max_time: seconds of wall time that training may take, or None. Such runs are not reproducible to the bit.
        optimizer: a function of the parameters that makes another torch optimiser, or None.
        settings: the loss and the initial states; by default as `problem.usual_training()` says.
        random_state: seed, a whole number.
        checkpoint: a folder where the run is kept until the policy is saved or this is fitted again; after an
            interruption another estimator of the same problem and settings goes on from it.
        device, dtype: where, and in which precision, "float32" or "float64".
        verbose: whether to show a progress bar.

    Attributes:
        policy_: the `FeedbackPolicy`.
        history_: the training record, one dictionary per evaluation; "value" is the mean cost from held-out initial
            states.
        diagnostics_: why training stopped, and from fresh initial states the mean "cost" with its standard error, its
            parts, the share of "unconverged" controls and the "largest_residual"; and the "settings" of the training.

    >>> import torch
    >>> from brenier.control import OptimalControl
    >>> control = OptimalControl("quadratic-integrator", steps=5, max_steps=20).fit()
    >>> control.policy_.rollout(torch.ones(3, 1)).controls.shape
    torch.Size([5, 3, 1])
    """

    policy_: FeedbackPolicy
    history_: list[dict[str, float]]
    diagnostics_: dict[str, Any]

    def __init__(
        self,
        problem: ControlProblem | str,
        *,
        gradient: str | ControlGradient = USUAL_GRADIENT,
        search: ControlSearch = USUAL_SEARCH,
        scheme: str = "euler",
        steps: int | None = None,
        terminal_condition: bool = False,
        network: nn.Module | None = None,
        width: int | None = None,
        layers: int = 2,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_steps: int | None = None,
        max_time: float | None = None,
        optimizer: MakeOptimiser | None = None,
        settings: ControlSettings | None = None,
        random_state: int = 0,
        checkpoint: str | None = None,
        device: str | torch.device | None = None,
        dtype: str = "float32",
        verbose: bool = False,
    ) -> None:
        self.problem = problem_named(problem) if isinstance(problem, str) else problem
        if not isinstance(self.problem, ControlProblem):
            raise DataError(
                f"problem: must be a ControlProblem or the name of one, got {type(problem).__name__}",
                argument="problem",
            )
        self.gradient = (
            ControlGradient(gradient) if isinstance(gradient, str) else gradient
        )
        _require_kind("gradient", self.gradient, ControlGradient)
        _require_kind("search", search, ControlSearch)
        usual = self.problem.usual_training()
        self.settings = usual_settings(usual) if settings is None else settings
        _require_kind("settings", self.settings, ControlSettings)
        self.search = search
        self.grid = Grid(self.problem.steps if steps is None else steps, scheme)
        self.terminal_condition = terminal_condition
        self.network = network
        self.width = usual.width if width is None else width
        self.layers = layers
        self.batch_size = usual.batch_size if batch_size is None else batch_size
        rate = usual.learning_rate if learning_rate is None else learning_rate
        self.learning_rate = rate
        self.max_time, self.optimizer = max_time, optimizer
        unlimited = max_steps is None and max_time is not None
        steps_given: float = usual.max_steps if max_steps is None else max_steps
        self.max_steps = math.inf if unlimited else steps_given
        self.random_state = random_state
        self.checkpoint, self.verbose = checkpoint, verbose
        self.device, self.dtype = device, dtype
        self._run_file: Path | None = None

    def fit(self) -> OptimalControl:
        """Train the policy.

        Raises:
            DataError: for parameters that cannot be used.
            ModelFileError: where `checkpoint` holds a damaged run, or one of another problem or other settings.
        """
        self._check()
        remove_finished(self._run_file)
        self.__dict__ |= conducted(
            launched(), self._fitted, lambda found: {**found, "_run_file": None}
        )
        return self

    def _fitted(self) -> dict[str, Any]:
        """Return what a fit finds, by the attributes that hold it; other ranks take part in its run."""
        with Progress(self.verbose) as progress:
            progress.phase("preparing")
            start = resume_or_start(self.checkpoint, self.random_state, True)
            run, keeper = self._prepared(start)
            if start.finished and keeper is not None and not keeper.knows(start):
                start = start_anew(self.random_state)
                run, keeper = self._prepared(start)
            if keeper is not None:
                keeper.restore(run, start)
            train(run, keeper, progress)
            progress.phase("measuring")
            controller = run.result()
            found = self._diagnostics(run, controller)
            policy = FeedbackPolicy(controller, self.grid, run.history, found)
        file = None if keeper is None else keeper.finish()
        return {
            "history_": run.history,
            "diagnostics_": found,
            "policy_": policy,
            "_run_file": file,
        }

    def save(self, folder: str | Path) -> None:
        """Write the policy, see `FeedbackPolicy.save`, and forget the run that led to it.

        Raises:
            DataError: where nothing was trained yet, or the network is not one of this library.
            OSError: where the folder cannot be written; what was there before stays.
        """
        if not hasattr(self, "policy_"):
            raise DataError("fit: no policy was trained yet; call fit() first")
        self.policy_.save(folder)
        remove_finished(self._run_file)

    def _check(self) -> None:
        """Raise a DataError for the first parameter that cannot be used."""
        unlimited = self.max_time is not None and self.max_steps == math.inf
        names = (
            "width",
            "layers",
            "batch_size",
            *(() if unlimited else ("max_steps",)),
        )
        for name in names:
            require_count(name, getattr(self, name), name.replace("_", " "))
        require_number("learning_rate", self.learning_rate, "the rate of the optimiser")
        if self.max_time is not None:
            require_number("max_time", self.max_time, "seconds of training")
        if self.dtype not in ("float32", "float64"):
            raise DataError(
                f"dtype: must be 'float32' or 'float64', got {self.dtype!r}",
                argument="dtype",
            )
        if type(self.random_state) is not int or not 0 <= self.random_state < 2**32:
            raise DataError(
                f"random_state: must be a whole number from 0 to {2**32 - 1}, got {self.random_state!r}",
                argument="random_state",
            )

    def _prepared(self, start: Start) -> tuple[Run[Controller], Keeper | None]:
        """Return the run of a start, and what keeps it on disk."""
        like = torch.zeros(1, dtype=getattr(torch, self.dtype))
        like = like.to(require_device(self.device))
        require_sound(self.problem, like)
        if self.network is not None:
            require_network(self.network, self.problem, like)
        controller = self._controller(start.generator).to(like)
        task = ControlTask(
            controller, self.problem, self.grid, self.settings, start.generator, like
        )
        run = Run(task, self._training(), start.generator)
        if self.checkpoint is None:
            return run, None
        mark = fingerprint(self._described(controller), task.held_out)
        return run, Keeper(self.checkpoint, mark, start.seed)

    def _controller(self, generator: torch.Generator) -> Controller:
        """Return the controller before training."""
        network = copy.deepcopy(self.network)
        if isinstance(network, Controller):
            return network
        if network is None:
            network = ValueNetwork(
                self.problem.state_dim, self.width, self.layers, generator=generator
            )
        value = ValueFunction(self.problem, network, self.terminal_condition)
        return ImplicitController(value, self.search, self.gradient)

    def _training(self) -> Settings:
        """Return how to train."""
        return Settings(
            max_steps=self.max_steps,
            max_time=self.max_time,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            evaluate_every=self.settings.evaluate_every,
            patience=self.settings.patience,
            overfit_penalty=1,
            max_rollbacks=self.settings.max_rollbacks,
        )

    def _described(self, controller: Controller) -> str:
        """Return what a resumed run must share, in words."""
        training = dataclasses.asdict(self._training())
        for name in ("optimizer", "schedule"):  # functions, whose names say nothing
            del training[name]
        shapes = [tuple(part.shape) for part in controller.parameters()]
        kinds = [type(part).__name__ for part in controller.modules()]
        problem = type(self.problem).__name__, self.problem.config()
        told = (*problem, self.grid, shapes, kinds)
        how = (self.gradient, self.search, self.terminal_condition, training)
        return " ".join(map(str, (*told, *how, self.settings)))

    def _diagnostics(
        self, run: Run[Controller], controller: Controller
    ) -> dict[str, Any]:
        """Return how training ended, and what the policy costs from fresh initial states."""
        # Of a seed of their own, so that a resumed run sees the same ones.
        if run.finished.startswith("gave up"):
            warn(
                f"training {run.finished}; the best policy seen is kept. Lower `learning_rate`, or let the terminal "
                "cost grow with ControlSettings(terminal_start=0.01)",
                ConvergenceWarning,
            )
        generator = torch.Generator().manual_seed(self.random_state + 1)
        n = self.settings.held_out_states
        like = next(controller.parameters())
        z = self.problem.initial_states(n, generator).to(like)
        found = roll_out(self.problem, controller, z, self.grid)
        return {
            "stopped": run.finished,
            "steps": run.step,
            "rollbacks": run.rollbacks,
            **trajectory_facts(found),
            "settings": self._told_settings(),
        }

    def _told_settings(self) -> dict[str, Any]:
        """Return the settings, for people, as JSON can hold them."""
        unlimited = self.max_steps == math.inf
        own = None if self.network is None else type(self.network).__name__
        return {
            "network": own or f"ValueNetwork of {self.layers} layers of {self.width}",
            "terminal_condition": self.terminal_condition,
            "rule": self.gradient.rule,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "optimizer": "SOAP" if self.optimizer is None else "one's own",
            "max_steps": None if unlimited else self.max_steps,
            "max_time": self.max_time,
            "random_state": self.random_state,
            "dtype": self.dtype,
            **dataclasses.asdict(self.settings),
        }


def usual_settings(usual: UsualTraining) -> ControlSettings:
    """Return the usual settings of a problem, from which others may be made by `dataclasses.replace`."""
    return ControlSettings(
        terminal_start=usual.terminal_start,
        terminal_until=usual.terminal_until,
        coarse=usual.coarse,
        segment=usual.segment,
    )


def trajectory_facts(found: Trajectory) -> dict[str, float]:
    """Return what trajectories cost, and how the searches of their controls ended."""
    cost: Tensor = found.cost
    return {
        "cost": float(cost.mean()),
        "standard_error": standard_error(cost),
        "running_cost": float(found.running.mean()),
        "terminal_cost": float(found.terminal.mean()),
        "unconverged": found.unconverged,
        "largest_residual": found.largest_residual,
    }


def _require_kind(name: str, value: object, kind: type) -> None:
    """Refuse an argument of another kind."""
    if not isinstance(value, kind):
        raise DataError(
            f"{name}: must be a {kind.__name__}, got {type(value).__name__}",
            argument=name,
        )
