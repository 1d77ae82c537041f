"""The task: batches, points and held-out rows."""

import pytest
import torch
from torch import Tensor

from brenier import Run, Settings
from brenier.baselines.flow_network import FlowNetwork
from brenier.baselines.flow_task import DrawnClass, DrawSide, FlowSettings, FlowTask
from brenier.transport.costs import SquaredEuclidean


def normal(dim: int, shift: float = 0.0) -> DrawSide:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, dim, generator=generator) + shift

    return draw


def task_of(
    dim: int,
    generator: torch.Generator,
    classes: int = 1,
    size: float = float("inf"),
    **settings: object,
) -> FlowTask:
    means = torch.zeros(dim), torch.ones(dim)
    draws = [DrawnClass(normal(dim), normal(dim, 1.0), size, means)] * classes
    held_out = [
        (each.source(200, generator), each.target(150, generator)) for each in draws
    ]
    network = FlowNetwork(dim, 8, 2, generator=generator)
    chosen = FlowSettings(**settings)  # type: ignore[arg-type]
    return FlowTask(network, SquaredEuclidean(), draws, held_out, chosen, generator)


def test_batches_of_many_features_have_the_means_and_variance_of_their_population(
    generator: torch.Generator,
) -> None:
    task = task_of(5, generator)
    batches = [task._batch(task.draws[0], 20) for _ in range(500)]
    for x, y in batches:
        assert float(x.mean(0).abs().max()) < 1e-6
        assert float((y.mean(0) - 1).abs().max()) < 1e-6
    variance = torch.stack([x.square().mean() for x, _ in batches]).mean()
    assert float(variance) == pytest.approx(1.0, abs=0.02)
    x, _ = task_of(3, generator)._batch(task.draws[0]._replace(source=normal(3)), 20)
    assert float(x.mean(0).abs().max()) > 1e-3


def test_points_lie_between_both_sides_at_their_time(
    generator: torch.Generator,
) -> None:
    task = task_of(2, generator, gaussian_share=0.0, noise=0.0)
    x = torch.zeros(4000, 2)
    points, t = task._points([x], [x + 1])
    torch.testing.assert_close(points, t.unsqueeze(-1).expand(-1, 2))
    assert float(t.square().mean()) == pytest.approx(0.5, abs=0.03)  # a root


def test_the_held_out_value_is_the_loss_and_its_error_is_honest(
    generator: torch.Generator,
) -> None:
    values, errors = [], []
    model = task_of(2, generator).model
    for _ in range(150):
        task = task_of(2, generator, classes=2, energy_weight=2.0)
        found = task.evaluate(model)
        assert float(sum(part.mean() for part in found.terms)) == pytest.approx(
            found.value, rel=1e-3, abs=1e-4
        )
        values.append(found.value)
        errors.append(found.standard_error())
    spread = float(torch.tensor(values).std())
    assert 0.8 < sum(errors) / len(errors) / spread < 1.25


def test_rows_that_were_drawn_again_and_again_are_told(
    generator: torch.Generator,
) -> None:
    task = task_of(2, generator, size=100.0)
    assert task.evaluate(task.model).fresh
    for _ in range(11):
        list(task.losses(100, 1.0))
    assert not task.evaluate(task.model).fresh
    again = task_of(2, generator, size=100.0)
    again.load_state_dict(task.state_dict())
    assert not again.evaluate(again.model).fresh


def test_a_loss_that_is_not_finite_takes_no_step(generator: torch.Generator) -> None:
    task = task_of(2, generator)
    run = Run(task, Settings(max_steps=3, batch_size=8), generator)
    with torch.no_grad():
        task.model.slope.fill_(float("inf"))
    run.advance()
    assert run.rollbacks == 1
    assert run.rate_factor == 0.5


@pytest.mark.parametrize("residual", ["none", "equation", "characteristics"])
def test_every_residual_is_recorded(residual: str, generator: torch.Generator) -> None:
    task = task_of(2, generator, residual=residual)
    (loss,) = task.losses(32, 1.0)
    found = task.evaluate(task.model)
    assert (residual == "none") == (loss.records[0]["train_residual"] == 0.0)
    assert ("residual" in found.record) == (residual != "none")
    row = {"value": found.value, "standard_error": 0.1, **found.record}
    assert ("residual=" in task.summary(row)) == (residual != "none")
