"""A problem of control of one's own: a pendulum learns to stand on its head, and to get up again after a kick.

    python examples/control.py [FILE]        # writes pendulum.png, or FILE; two minutes or so of one core

The pendulum hangs at rest, more or less, and a motor whose effort is dear swings it up. The policy follows a learnt
value function: in any state, at any time, it does what minimises the Hamiltonian. That is feedback, and a kick at half
time is answered, although training knew no kicks.
"""

import dataclasses
import math
import os
import sys

import torch
from matplotlib.figure import Figure

from brenier.control import ControlProblem, ControlSettings, OptimalControl

QUICK = bool(os.environ.get("BRENIER_EXAMPLE_QUICK"))


@dataclasses.dataclass(frozen=True)
class Pendulum(ControlProblem):
    """angle'' = sin(angle) - friction * angle' + torque, with L = torque^2 / 2; upright is angle 0."""

    horizon: float = 5.0
    steps: int = 60
    friction: float = 0.1
    state_dim, control_dim = 2, 1
    state_names, control_names = ("angle", "speed"), ("torque",)

    def dynamics(self, t, z, u):
        angle, speed = z.unbind(-1)
        return torch.stack([speed, angle.sin() - self.friction * speed + u[:, 0]], -1)

    def running_cost(self, t, z, u):
        return u.square().sum(-1) / 2

    def terminal_cost(self, z):
        return 20 * z.square().sum(-1)

    def initial_states(self, n, generator):
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return torch.tensor([math.pi, 0.0]) + 0.2 * noise


def kick(step, t, z):
    """What happens to the states before the policy acts in a step."""
    return z + torch.tensor([0.0, 0.8]) if step == 30 else z


problem = Pendulum()
settings = ControlSettings(terminal_start=0.05)
control = OptimalControl(problem, max_steps=3 if QUICK else 300, settings=settings)
policy = control.fit().policy_
z0 = problem.initial_states(5, torch.Generator().manual_seed(7)).float()
calm, kicked = policy.rollout(z0), policy.rollout(z0, kick)
# The same torques as in the calm, whatever happens: no feedback.
replayed = [z0]
for k, torque in enumerate(calm.controls):
    replayed.append(policy.grid.advance(problem, k, kick(k, 0, replayed[-1]), torque)[0])  # fmt: skip

figure = Figure(figsize=(8, 5.5), layout="constrained")
axes, below = figure.subplots(2, sharex=True)
for name, states, colour in (
    ("calm", calm.states, "#0072B2"),
    ("kicked, with feedback", kicked.states, "#D55E00"),
    ("kicked, torques replayed", torch.stack(replayed), "#BBBBBB"),
):
    axes.plot(calm.times, states[..., 0], color=colour, label=[name, *"____"])
for found, colour in ((calm, "#0072B2"), (kicked, "#D55E00")):
    below.step(found.times[:-1], found.controls[..., 0], color=colour, where="post")
axes.axvline(2.5, color="#999999", lw=0.8, ls="dotted")
axes.set(ylabel="angle, upright is 0", title="A pendulum that swings up, kicked at half time")  # fmt: skip
axes.legend(frameon=False)
below.set(xlabel="time", ylabel="torque")
path = sys.argv[1] if len(sys.argv) > 1 else "pendulum.png"
figure.savefig(path, dpi=150)
ends = problem.terminal_cost(replayed[-1]).mean()
print(f"{path}: mean cost {calm.cost.mean():.3g} calm, {kicked.cost.mean():.3g} kicked; terminal cost")  # fmt: skip
print(f"{kicked.terminal.mean():.3g} kicked with feedback, {ends:.3g} where the torques are replayed")  # fmt: skip
