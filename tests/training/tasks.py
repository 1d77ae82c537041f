"""Two tasks that have nothing to do with transport: a regression, and a small problem of control."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from brenier import Evaluation, Loss, Run, Settings, Task
from brenier.solve import BFGS, minimise, one_step
from brenier.training import Keeper, resume_or_start, train

SLOPE, OFFSET = torch.tensor([2.0, -1.0]), 0.5


class Regression(Task[nn.Linear]):
    """Least squares on noisy rows of a linear function."""

    averages = ("train_value",)

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.model = nn.Linear(2, 1)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.held_out = self.rows(2000)

    def rows(self, n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 2, generator=self.generator)
        noise = 0.1 * torch.randn(n, generator=self.generator)
        return x, x @ SLOPE + OFFSET + noise

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        value = self.squares(self.model, *self.rows(rows)).mean()
        yield Loss(value, [{"train_value": value.item()}])

    def evaluate(self, model: nn.Linear) -> Evaluation:
        squares = self.squares(model, *self.held_out)
        return Evaluation(float(squares.mean()), (squares,), {})

    @staticmethod
    def squares(model: nn.Linear, x: Tensor, y: Tensor) -> Tensor:
        return (model(x).squeeze(-1) - y).square()


class Value(nn.Module):
    """V(x) = p x^2."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.p * x.square().sum(-1)


class Hamiltonian:
    """For every state x the cost of a control u: q x^2 + r u^2 + V(a x + b u)."""

    Q, R, A, B = 1.0, 0.5, 0.9, 1.0

    def __init__(self, value: Value, x: Tensor) -> None:
        self.value, self.x = value, x

    def cost(self, u: Tensor) -> Tensor:
        now = self.Q * self.x.square().sum(-1) + self.R * u.square().sum(-1)
        return now + self.value(self.A * self.x + self.B * u)

    def residual(self, u: Tensor) -> Tensor:
        following = self.A * self.x + self.B * u
        return 2 * self.R * u + 2 * self.B * self.value.p * following

    def evaluate(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.cost(u).detach(), self.residual(u).detach()

    def hessian_product(self, u: Tensor, v: Tensor) -> Tensor:
        return (2 * self.R + 2 * self.B**2 * self.value.p.detach()) * v

    def rows(self, index: Tensor) -> "Hamiltonian":
        return Hamiltonian(self.value, self.x[index])


def riccati() -> float:
    """The p of the linear quadratic regulator, by iteration of its equation."""
    h, p = Hamiltonian, 0.0
    for _ in range(1000):
        p = h.Q + h.A**2 * p - (h.A * h.B * p) ** 2 / (h.R + h.B**2 * p)
    return p


class Control(Task[Value]):
    """Fitted value iteration: V(x) is to be the least cost over all controls, which `minimise` finds row by row."""

    averages = ("train_value",)
    counts = ("unconverged",)

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.model = generator, Value()
        self.held_out = self.states(500)

    def states(self, n: int) -> Tensor:
        return torch.randn(n, 1, generator=self.generator, dtype=torch.float64)

    def gaps(self, model: Value, x: Tensor) -> tuple[Tensor, int]:
        """The Bellman residual of every row, differentiable, and how many controls did not converge."""
        problem = Hamiltonian(model, x)
        solution = minimise(problem, BFGS(), torch.zeros_like(x), tol=1e-9)
        u = one_step(problem.residual, solution.point, size=0.3)
        return model(x) - problem.cost(u), solution.unconverged

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        gaps, unconverged = self.gaps(self.model, self.states(rows))
        value = gaps.square().mean()
        record = {"train_value": value.item(), "unconverged": unconverged}
        yield Loss(value, [record], "a control is unconverged" if unconverged else "")

    def evaluate(self, model: Value) -> Evaluation:
        gaps, unconverged = self.gaps(model, self.held_out)
        squares = gaps.detach().square()
        return Evaluation(
            float(squares.mean()), (squares,), {}, trusted=not unconverged
        )


TASKS: dict[str, Callable[[torch.Generator], Task[Any]]] = {
    "regression": Regression,
    "control": Control,
}
SETTINGS = {
    "regression": Settings(
        max_steps=300, batch_size=128, patience=100, learning_rate=0.05
    ),
    "control": Settings(
        max_steps=300,
        batch_size=64,
        evaluate_every=20,
        patience=100,
        learning_rate=0.05,
    ),
}


def trained(name: str, folder: str | None = None) -> Run[Any]:
    """A run that has ended, kept in a folder on its way if there is one."""
    start = resume_or_start(folder, seed=0, seed_given=True)
    run: Run[Any] = Run(TASKS[name](start.generator), SETTINGS[name], start.generator)
    keeper = None if folder is None else Keeper(folder, "mark", start.seed)
    if keeper is not None:
        keeper.restore(run, start)
    train(run, keeper)
    return run
