"""The flags of a benchmark."""

import argparse

import pytest
import torch

from benchmarks.harness import Arguments, Flags, choices, flag


def parse(arguments: Arguments, *words: str) -> Flags:
    return arguments.parse("text", ["--threads", str(torch.get_num_threads()), *words])


def test_dimensions_depend_on_the_time_there_is() -> None:
    arguments = Arguments(dims=(4, 16), seeds=range(2))
    assert parse(arguments).dims == [4, 16]
    assert parse(arguments).seeds == [0, 1]
    assert parse(arguments, "--quick").dims == [4]
    assert parse(arguments, "--quick", "--dims", "8").dims == [8]
    assert parse(Arguments(dims=(4,), quick_dims=(2,)), "--quick").dims == [2]
    assert parse(Arguments()).dims == []


def test_values_are_fixed_or_replaced_where_time_is_short() -> None:
    arguments = Arguments(
        (flag("--seconds", type=float, default=60.0), choices("--words", "ab", "a")),
        fixed={"points": 100},
        quick={"points": 10, "seconds": 1.0},
    )
    flags = parse(arguments, "--seconds", "5")
    assert (flags.points, flags.seconds, flags.words) == (100, 5.0, ["a"])
    flags = parse(arguments, "--seconds", "5", "--quick")
    assert (flags.points, flags.seconds) == (10, 1.0)


def test_a_check_reports_errors_as_the_parser_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def check(parser: argparse.ArgumentParser, flags: Flags) -> None:
        parser.error("--seconds: too many")

    with pytest.raises(SystemExit):
        parse(Arguments(check=check))
    assert "--seconds: too many" in capsys.readouterr().err
