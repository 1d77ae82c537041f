"""The report says how a map does in the middle of its source and at its edge."""

from typing import Any

import numpy as np
import torch
from problems import normal

from brenier import OptimalTransport, Quadratic, TransportMap
from brenier.report import regions_section
from brenier.transport.maps import round_trip

QUICK: dict[str, Any] = {"max_steps": 10, "batch_size": 128, "random_state": 0}
X, Y = normal(800, 2), 3 * normal(800, 2, seed=1)


def table_of(body: str) -> list[list[str]]:
    """The cells of the table in a section."""
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_rows_at_the_edge_are_moved_farther() -> None:
    ot = OptimalTransport(**QUICK).fit(X, Y)
    section = regions_section(ot.map_, X, Y, round_trip(ot.map_, X))
    rows = table_of(section.body)
    assert [row[0] for row in rows] == [
        "the middle half",
        "farther out",
        "the outermost 5%",
    ]
    assert sum(int(row[1]) for row in rows) == 800
    moved = [float(row[2]) for row in rows]
    assert moved == sorted(moved)
    # The map is right, so a region's mismatch is of the size of its noise.
    assert all(abs(float(row[5])) < 0.3 for row in rows[:2])


def test_a_map_that_is_wrong_far_out_is_seen_there() -> None:
    ot = OptimalTransport(**QUICK).fit(X, Y)
    wrong = Y.clone()
    outer = torch.linalg.vector_norm(Y, dim=1) > 3 * 1.2
    wrong[outer, 0] += 6
    section = regions_section(ot.map_, X, wrong, round_trip(ot.map_, X))
    middle, outward = (float(row[5]) for row in table_of(section.body)[:2])
    assert outward > abs(middle) + 0.3


def test_classes_are_told_apart_by_their_own_supports() -> None:
    labels = np.repeat(["a", "b"], 400)
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_labels=labels, target_labels=labels)
    trip = round_trip(ot.map_, X, labels)
    section = regions_section(ot.map_, X, Y, trip, (list(labels), list(labels)))
    assert len(table_of(section.body)) == 3


def test_a_map_that_does_not_know_its_source_has_no_section() -> None:
    transport = TransportMap(Quadratic(2).double())
    assert regions_section(transport, X, Y, round_trip(transport, X)).body == ""
