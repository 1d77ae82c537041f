"""A saved feedback policy: `policy.json` and its weights, read with distrust; nothing is pickled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from brenier.control.checks import require_device
from brenier.control.controller import (
    Controller,
    DirectController,
    ImplicitController,
)
from brenier.control.policy import FeedbackPolicy
from brenier.control.problem import ControlProblem
from brenier.control.problems import PROBLEMS, problem_name
from brenier.control.rollout import Grid
from brenier.control.search import ControlGradient, ControlSearch
from brenier.control.value import ValueFunction, ValueNetwork
from brenier.errors import DataError, ModelFileError
from brenier.model_files import (
    Described,
    Shapes,
    Told,
    read_described,
    shapes_by_name,
    unfit,
    write_described,
)
from brenier.potentials import KNOWN
from brenier.solve import (
    BFGS,
    LBFGS,
    Anderson,
    GradientStep,
    Method,
    NewtonCG,
    ProjectedNewton,
)

POLICY = "policy"  # the name of its files
METHODS: dict[str, Callable[..., Method[Any]]] = {
    each.__name__: each
    for each in (Anderson, BFGS, GradientStep, LBFGS, NewtonCG, ProjectedNewton)
}
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "ValueNetwork": ValueNetwork,
    **KNOWN,
}


def holds_policy(folder: str | Path) -> bool:
    """Say whether a folder holds a saved policy, whole or damaged."""
    return (Path(folder) / f"{POLICY}.json").exists()


def save_policy(folder: str | Path, policy: FeedbackPolicy) -> None:
    """Write a policy, whole or not at all.

    Raises:
        DataError: where its network or its search is of a kind that cannot be described.
        OSError: where the folder cannot be written; what was there before stays.
    """
    controller = policy.controller
    told = {
        "problem": _problem_told(controller.problem),
        "grid": dataclasses.asdict(policy.grid),
        "controller": _controller_told(controller),
        "dtype": str(policy.like.dtype).removeprefix("torch."),
        "history": policy.history,
        "diagnostics": policy.diagnostics,
    }
    write_described(folder, POLICY, controller.state_dict(), told)


def load_policy(
    folder: str | Path,
    problem: ControlProblem | None = None,
    device: torch.device | str = "cpu",
) -> FeedbackPolicy:
    """Return the policy saved in a folder.

    Args:
        folder: where it was saved.
        problem: what it controls, where that is no problem of this library.
        device: to move it to.

    Raises:
        DataError: where the folder is no path, or the problem is another, or has to be given, or there is no such
            device.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    owner = _Reader(problem)
    try:
        found = read_described(folder, POLICY, owner.expected)
    except ModelFileError:
        if owner.refused is not None:  # the files are sound, what was given is not
            raise owner.refused from None
        raise
    policy = _built(folder, owner, found)
    policy.controller.to(require_device(device))
    return policy


def _built(folder: str | Path, owner: _Reader, found: Described) -> FeedbackPolicy:
    """Return the policy of a description and its tensors, on the CPU."""
    try:
        controller = owner.controller(found.told)
        controller.load_state_dict(found.tensors)
        for name, part in found.tensors.items():
            if not bool(part.isfinite().all()):
                raise ValueError(f"{name}: holds NaN or inf")
        return FeedbackPolicy(
            controller,
            Grid(**found.told["grid"]),
            [dict(row) for row in found.told["history"]],
            dict(found.told["diagnostics"]),
        )
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(folder, error) from error


class _Reader:
    """Builds what a description tells of."""

    def __init__(self, problem: ControlProblem | None) -> None:
        self.given = problem
        self.refused: DataError | None = None

    def expected(self, told: Told) -> Shapes:
        """Return the shapes of the tensors of a description; no memory is taken for them."""
        with torch.device("meta"):
            return shapes_by_name(self.controller(told).state_dict())

    def controller(self, told: Told) -> Controller:
        """Return the controller, its weights still to come."""
        how = dict(told["controller"])
        problem = self._problem(dict(told["problem"]))
        network = NETWORKS[str(how["network"])](**how["network_config"])
        if told["dtype"] not in ("float32", "float64"):
            raise ValueError("dtype: must be float32 or float64")
        dtype = getattr(torch, told["dtype"])
        if how["kind"] == "direct":
            return DirectController(problem, network).to(dtype)
        value = ValueFunction(problem, network, bool(how["terminal_condition"]))
        search = dict(how["search"])
        if search["method"] is not None:
            name, fields = search["method"]
            search["method"] = METHODS[str(name)](**fields)
        gradient = ControlGradient(**how["gradient"])
        return ImplicitController(value, ControlSearch(**search), gradient).to(dtype)

    def _problem(self, told: Told) -> ControlProblem:
        """Return the problem, the one that was given or one of the library; note why there is none."""
        try:
            return self._fitting(told)
        except DataError as error:
            self.refused = error if error.argument == "problem" else None
            raise

    def _fitting(self, told: Told) -> ControlProblem:
        """Return the problem that a description tells of."""
        name, given = str(told["name"]), self.given
        if given is None:
            if name not in PROBLEMS:
                raise DataError(
                    f"problem: the policy is for {name}, which is no problem of this library; load it with "
                    "FeedbackPolicy.load(folder, problem=...)",
                    argument="problem",
                )
            return PROBLEMS[name](**told["fields"])
        ours = _problem_told(given)
        if ours != told:
            raise DataError(
                f"problem: the policy was trained for {name} with {told['fields']}, not for {ours['name']} with "
                f"{ours['fields']}",
                argument="problem",
            )
        return given


def _problem_told(problem: ControlProblem) -> dict[str, Any]:
    """Return how a problem is described, as JSON gives it back."""
    told = {"name": problem_name(problem), "fields": problem.config()}
    try:
        return dict(json.loads(json.dumps(told)))
    except TypeError as error:
        raise DataError(
            f"problem: {type(problem).__name__} has fields that JSON cannot hold ({error}); write its method config()"
        ) from error


def _controller_told(controller: Controller) -> dict[str, Any]:
    """Return how a controller is described."""
    if isinstance(controller, DirectController):
        return {"kind": "direct", **_network_told(controller.features.network)}
    if not isinstance(controller, ImplicitController):
        raise DataError(
            f"controller: {type(controller).__name__} is none of this library and cannot be saved"
        )
    search = {
        field.name: getattr(controller.search, field.name)
        for field in dataclasses.fields(controller.search)
    }
    if search["method"] is not None:
        search["method"] = _method_told(search["method"])
    return {
        "kind": "implicit",
        **_network_told(controller.value.network),
        "terminal_condition": controller.value.terminal_condition,
        "search": search,
        "gradient": dataclasses.asdict(controller.gradient),
    }


def _network_told(network: nn.Module) -> dict[str, Any]:
    """Return how a network is described."""
    name = type(network).__name__
    if NETWORKS.get(name) is not type(network):
        raise DataError(
            f"network: {name} is none of this library, so that the policy cannot be saved; train a ValueNetwork or one "
            "of brenier.potentials",
            argument="network",
        )
    return {"network": name, "network_config": network.config()}


def _method_told(method: Method[tuple]) -> list[Any]:
    """Return how an inner solver is described."""
    name = type(method).__name__
    if METHODS.get(name) is not type(method):
        raise DataError(
            f"search: the method {name} is none of this library, so that the policy cannot be saved",
            argument="search",
        )
    return [name, dataclasses.asdict(method)]
