"""Batches: every row drawn is solved, however long it is in flight, and used again where that saves evaluations."""

import pytest
import torch
from problems import normal

from brenier.solve import Solution, Status
from brenier.transport.dual import Batches, DualSettings

EVALUATIONS = DualSettings.target_evaluations
SKIPPED = DualSettings.skip_fraction
MAX_DEFERRALS = DualSettings.max_deferrals
USES = 3


def counting(uses: int = USES) -> Batches:
    """Batches whose target rows are 0, 1, 2, ..., and may enter so many steps."""
    drawn = [0]

    def target(n: int, generator: torch.Generator) -> torch.Tensor:
        drawn[0] += n
        return torch.arange(drawn[0] - n, drawn[0], dtype=torch.float64).unsqueeze(-1)

    return Batches(
        lambda n, generator: normal(n, 1),
        target,
        torch.Generator(),
        settings=DualSettings(max_reuse=uses),
    )


def solved(
    z: torch.Tensor, deferred: list[int], steps: torch.Tensor | None = None
) -> Solution:
    """A solution y = z + 0.5 with some rows deferred, after no steps unless told."""
    status = torch.full((len(z),), int(Status.CONVERGED))
    status[deferred] = Status.DEFERRED
    zero = torch.zeros(len(z))
    return Solution(z + 0.5, zero, zero if steps is None else steps, status, len(z))


def entered(
    later: int, batches: int = 200, rows: int = 500
) -> tuple[torch.Tensor, float]:
    """How often every row enters a step, and the mean evaluations of all but the first batches.

    A new row takes 7 evaluations if its number is even and 11 if it is odd, and `later` when it is used again.
    """
    made, spent = counting(), []
    times = torch.zeros(batches * rows, dtype=torch.int64)
    for _ in range(batches):
        _, z, start, _ = made.draw(rows)
        number = z.flatten().long()
        evaluations = 7 + 4 * (number % 2)
        evaluations[: 0 if start is None else len(start)] = later
        deferred = [int(row) for row in (evaluations > later).nonzero().flatten()[:25]]
        times[number] += 1
        times[number[deferred]] -= 1
        spent.append(float(evaluations.double().mean()))
        made.keep(z, solved(z, deferred, evaluations - 1))
    return times, sum(spent[10:]) / len(spent[10:])


def test_rows_left_come_first_in_the_next_batch_from_where_they_are() -> None:
    batches = counting()
    x, z, start, skip_fraction = batches.draw(10)
    assert x.shape == z.shape == (10, 1)
    assert start is None
    assert skip_fraction == SKIPPED
    batches.keep(z, solved(z, [3, 7]))
    _, z, start, _ = batches.draw(10)
    assert z[:2].flatten().tolist() == [3, 7]
    assert len(z) == 10
    assert start is not None
    assert start.flatten().tolist() == [3.5, 7.5]


def test_a_row_left_too_often_has_its_batch_solved_to_the_end() -> None:
    batches = counting()
    for _ in range(MAX_DEFERRALS):
        _, z, _, skip_fraction = batches.draw(10)
        assert skip_fraction == SKIPPED
        batches.keep(z, solved(z, [0]))
    _, z, _, skip_fraction = batches.draw(10)
    assert skip_fraction == 0.0
    batches.keep(z, solved(z, []))
    _, _, start, skip_fraction = batches.draw(10)
    assert skip_fraction == SKIPPED
    assert start is not None
    assert len(start) == 0


def test_a_row_first_left_now_is_young() -> None:
    batches = counting()
    for _ in range(MAX_DEFERRALS - 1):
        _, z, _, _ = batches.draw(10)
        batches.keep(z, solved(z, [0]))
    _, z, _, _ = batches.draw(10)
    batches.keep(z, solved(z, [5]))
    assert batches.in_flight.deferrals.tolist() == [1]


def test_rows_are_used_again_until_the_mean_row_takes_so_many_evaluations() -> None:
    times, evaluations = entered(later=3)
    assert abs(evaluations - EVALUATIONS) < 0.1
    assert int(times.max()) == USES
    hopeless, evaluations = entered(
        later=6
    )  # not even the most uses bring the mean so low
    assert EVALUATIONS < evaluations < 7.5
    assert int(hopeless.max()) == USES


def test_how_often_a_row_is_used_has_nothing_to_do_with_how_hard_it_is() -> None:
    times, _ = entered(later=3)
    used = times[times > 0]
    easy, hard = (times[side::2][times[side::2] > 0].double() for side in (0, 1))
    error = float(used.double().std()) * (1 / len(easy) + 1 / len(hard)) ** 0.5
    assert abs(float(easy.mean() - hard.mean())) < 4 * error


@pytest.mark.parametrize(
    ("uses", "evaluations"), [(USES, EVALUATIONS), (1, 2 * EVALUATIONS)]
)
def test_rows_that_are_easily_solved_or_may_not_be_are_used_once(
    uses: int, evaluations: float
) -> None:
    batches = counting(uses)
    _, z, _, _ = batches.draw(10)
    batches.keep(z, solved(z, [2], torch.full((10,), evaluations - 1)))
    assert batches.in_flight.uses.tolist() == [0]
    _, z, start, _ = batches.draw(10)
    assert start is not None
    assert z[: len(start)].flatten().tolist() == [2]


def test_state_goes_through_a_dictionary() -> None:
    one, two = counting(), counting()
    _, z, _, _ = one.draw(10)
    two.draw(10)
    one.keep(z, solved(z, [1, 2]))
    two.load_state_dict(one.state_dict(), z.device)
    for (_, a, first, _), (_, b, second, _) in [(one.draw(10), two.draw(10))]:
        assert torch.equal(a, b)
        assert first is not None
        assert second is not None
        assert torch.equal(first, second)
    one.forget()
    assert one.draw(10)[2] is None
