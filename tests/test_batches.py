"""Batches: every row drawn is solved once, however long it is in flight."""

import torch
from problems import normal

from brenier.batches import LEAVE, OFTEN, Batches
from brenier.solve import Solution, Status


def counting() -> Batches:
    """Batches of ten whose target rows are 0, 1, 2, ..."""
    drawn = [0]

    def target(n: int, generator: torch.Generator) -> torch.Tensor:
        drawn[0] += n
        return torch.arange(drawn[0] - n, drawn[0], dtype=torch.float64).unsqueeze(-1)

    return Batches(lambda n, generator: normal(n, 1), target, torch.Generator())


def solved(z: torch.Tensor, left: list[int]) -> Solution:
    """A solution y = z + 0.5 with some rows left."""
    status = torch.full((len(z),), int(Status.CONVERGED))
    status[left] = Status.LEFT
    zero = torch.zeros(len(z))
    return Solution(z + 0.5, zero, zero, status, len(z))


def test_rows_left_come_first_in_the_next_batch_from_where_they_are() -> None:
    batches = counting()
    x, z, start, leave = batches.draw(10)
    assert x.shape == z.shape == (10, 1)
    assert start is None
    assert leave == LEAVE
    batches.keep(z, solved(z, [3, 7]))
    _, z, start, _ = batches.draw(10)
    assert z[:2].flatten().tolist() == [3, 7]
    assert len(z) == 10
    assert start is not None
    assert start.flatten().tolist() == [3.5, 7.5]


def test_a_row_left_too_often_has_its_batch_solved_to_the_end() -> None:
    batches = counting()
    for _ in range(OFTEN):
        _, z, _, leave = batches.draw(10)
        assert leave == LEAVE
        batches.keep(z, solved(z, [0]))
    _, z, _, leave = batches.draw(10)
    assert leave == 0.0
    batches.keep(z, solved(z, []))
    _, _, start, leave = batches.draw(10)
    assert leave == LEAVE
    assert start is not None
    assert len(start) == 0


def test_a_row_first_left_now_is_young() -> None:
    batches = counting()
    for _ in range(OFTEN - 1):
        _, z, _, _ = batches.draw(10)
        batches.keep(z, solved(z, [0]))
    _, z, _, _ = batches.draw(10)
    batches.keep(z, solved(z, [5]))
    assert batches.age.tolist() == [1]


def test_state_goes_through_a_dictionary() -> None:
    one, two = counting(), counting()
    _, z, _, _ = one.draw(10)
    two.draw(10)
    one.keep(z, solved(z, [1, 2]))
    two.load_state_dict(one.state_dict(), z)
    for (_, a, first, _), (_, b, second, _) in [(one.draw(10), two.draw(10))]:
        assert torch.equal(a, b)
        assert first is not None
        assert second is not None
        assert torch.equal(first, second)
    one.clear()
    assert one.draw(10)[2] is None
