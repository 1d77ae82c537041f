"""The arguments of `brenier control`."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from brenier.apps.cli.arguments import (
    CommandParser,
    Commands,
    add_again,
    add_command,
    add_json,
    add_seed,
    add_setting,
    usable_device,
)
from brenier.apps.cli.control import control
from brenier.control import OptimalControl

SIGNATURE = inspect.signature(OptimalControl).parameters
CONTROL_DEFAULTS = {name: each.default for name, each in SIGNATURE.items()}


def add_control(group: Commands) -> None:
    """Add the command."""
    parser = add_command(
        group,
        "control PROBLEM --out FOLDER",
        control,
        "train a feedback policy for a problem of optimal control, with a report",
        "brenier control quadrotor --agents 6 --layout grid --out run/\n"
        "  brenier control list\n"
        "  brenier control run/ --report",
    )
    text = "the name of a problem; `list` for all of them; with --report a saved policy's folder"
    parser.add_argument("problem", metavar="PROBLEM", help=text)
    _add_output(parser)
    _add_fields(parser)
    _add_training(parser)


def _add_output(parser: CommandParser) -> None:
    """Add the run and what it writes."""
    run = parser.add_argument_group("the run")
    text = "where policy and report go"
    run.add_argument("--out", type=Path, metavar="FOLDER", help=text)
    text = "train nothing; measure a saved policy and write its report again"
    run.add_argument("--report", action="store_true", help=text)
    text = "make no moving picture of agents"
    run.add_argument(
        "--no-animation", dest="animation", action="store_false", help=text
    )
    add_json(run)
    add_seed(run)
    add_again(run)


def _add_fields(parser: CommandParser) -> None:
    """Add the fields of problems."""
    group = parser.add_argument_group("the problem")
    kinds = {
        "--agents": (int, "N", "quadrotors, bicycles or consumers"),
        "--layout": (str, "NAME", "where agents start and end: point or grid"),
        "--horizon": (float, "T", "the time at which control ends"),
        "--steps": (int, "N", "time steps until then"),
    }
    for flag, (kind, sign, text) in kinds.items():
        group.add_argument(
            flag, default=argparse.SUPPRESS, type=kind, metavar=sign, help=text
        )
    text = "any field of the problem; may be given several times"
    group.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=text,
    )


def _add_training(parser: CommandParser) -> None:
    """Add the parameters of `OptimalControl`."""
    group = parser.add_argument_group("training")
    known = CONTROL_DEFAULTS
    text = "how time steps are integrated"
    schemes = ["euler", "midpoint", "rk4"]
    add_setting(group, "--scheme", text, choices=schemes, defaults=known)
    text = "how the minimiser of the Hamiltonian is differentiated (default: one_step)"
    group.add_argument(
        "--rule",
        dest="gradient",
        default=argparse.SUPPRESS,
        choices=["one_step", "implicit", "unrolled"],
        help=text,
    )
    numbers = {
        "--max-steps": (
            int,
            "N",
            "training steps at most (default: as the problem says)",
        ),
        "--max-time": (float, "S", "seconds of wall time that training may take"),
        "--batch-size": (
            int,
            "N",
            "initial states of a training step (default: as the problem says)",
        ),
        "--learning-rate": (
            float,
            "X",
            "at the start; it decays to zero (default: as the problem says)",
        ),
        "--width": (
            int,
            "N",
            "units per layer of the value network (default: as the problem says)",
        ),
    }
    for flag, (kind, sign, text) in numbers.items():
        add_setting(group, flag, text, kind=kind, metavar=sign, defaults=known)
    text = "where to train, for example cuda"
    add_setting(group, "--device", text, kind=usable_device, defaults=known)
    text = "precision of the network"
    precisions = ["float32", "float64"]
    add_setting(group, "--dtype", text, choices=precisions, defaults=known)
