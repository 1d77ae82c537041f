"""Pairs by name and dimension."""

from benchmarks import pairs


def test_pairs_are_selected_by_name_and_dimension() -> None:
    found = [pairs.problem(pair) for pair in pairs.select(("tails", "manifold"))]
    assert found == ["tails d=2", "tails d=16", "tails d=64", "manifold d=50"]
    chosen = list(pairs.select(("manifold", "tails"), (3,), (4, 5)))
    assert [pair.dim for pair in chosen] == [4, 5, 3]
