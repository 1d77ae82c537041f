"""Controllers: what acts on states. The one of the method, and a network that gives the control itself, to compare."""

from __future__ import annotations

import abc
import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor, nn

from brenier.control.problem import ControlProblem
from brenier.control.search import ControlGradient, ControlSearch
from brenier.control.value import ValueFunction, ValueJet
from brenier.solve import Solution


class Action(NamedTuple):
    """What a controller does at a time.

    Attributes:
        control: (n, m), with a graph where autograd is on.
        found: how the search of the control ended, or None where there was none.
        jet: the value function there, or None where the controller has none.
    """

    control: Tensor
    found: Solution | None = None
    jet: ValueJet | None = None


class Controller(nn.Module, abc.ABC):
    """What acts on the states of a problem.

    Attributes:
        problem: the dynamics and the bounds.
    """

    problem: ControlProblem

    @abc.abstractmethod
    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        """Return what is done at times (n,) and states (n, d).

        Args:
            t: times.
            z: states.
            before: controls of the time step before (n, m), where a search may start, or None.
            known: how an earlier search at the same place ended, which is not to be repeated, or None.
        """


class ImplicitController(Controller):
    """Acts by the control that minimises H(t, z, grad phi, .).

    Args:
        value: phi.
        search: how the minimiser is found.
        gradient: how it is differentiated.
    """

    def __init__(
        self,
        value: ValueFunction,
        search: ControlSearch | None = None,
        gradient: ControlGradient | None = None,
    ) -> None:
        super().__init__()
        self.value, self.problem = value, value.problem
        self.search = search or ControlSearch()
        self.gradient = gradient or ControlGradient()

    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        """Return the controls that minimise the Hamiltonian; arguments as `Controller` says."""
        jet = self.value.jet(z, t)
        hamiltonian = self.problem.hamiltonian(t, z, jet.costate)
        if torch.is_grad_enabled() and self.gradient.rule == "unrolled":
            u = self.gradient.attach(hamiltonian, self._start(t, z.detach(), before))
            found = self.search.measure(hamiltonian.detached(), u.detach())
            steps = self.gradient.unrolled_steps
            found = dataclasses.replace(
                found,
                steps=found.steps + steps,
                evaluations=found.evaluations + steps * len(u),
            )
            return Action(u, found, jet)
        if known is None:
            start = self._start(t, z.detach(), before)
            known = self.search.find(hamiltonian.detached(), start)
        u = known.point
        if torch.is_grad_enabled():
            u = self.gradient.attach(hamiltonian, u)
        return Action(u, known, jet)

    def _start(self, t: Tensor, z: Tensor, before: Tensor | None) -> Tensor:
        """Return where a search starts."""
        bounds = self.problem.bounds(t, z)
        if bounds is not None:
            bounds.in_order()
        if before is None or not self.search.warm:
            return self.problem.first_control(t, z)
        return before if bounds is None else bounds.clip(before)


class DirectController(Controller):
    """Acts by a network's output, u = W grad N(z, t): no value function, no Hamiltonian; a baseline.

    Args:
        problem: the dynamics and the bounds.
        network: gives the features grad N, such as `ValueNetwork`.
        scale: of the initial weights W, against Xavier's.
        generator: source of W.
    """

    def __init__(
        self,
        problem: ControlProblem,
        network: nn.Module,
        scale: float = 1e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.problem = problem
        self.features = ValueFunction(problem, network)
        shape = problem.state_dim, problem.control_dim
        weights = torch.randn(shape, generator=generator) / problem.state_dim**0.5
        self.readout = nn.Parameter(scale * weights)
        self.offset = nn.Parameter(torch.zeros(problem.control_dim))

    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        """Return the output of the network, clipped to the bounds."""
        u = torch.addmm(self.offset, self.features.jet(z, t).costate, self.readout)
        bounds = self.problem.bounds(t, z)
        return Action(u if bounds is None else bounds.in_order().clip(u))
