"""The arguments of every command. What the commands do with them is in `brenier.apps.cli.commands`."""

from __future__ import annotations

import argparse
from pathlib import Path

from brenier.apps.cli import commands
from brenier.apps.cli.arguments import (
    CommandParser,
    Commands,
    Container,
    add_again,
    add_columns,
    add_command,
    add_dialect,
    add_json,
    add_labels,
    add_model,
    add_pair,
    add_seed,
    add_setting,
    column_names,
    usable_device,
)
from brenier.apps.cli.control_arguments import add_control
from brenier.apps.cli.costs import COST_NAMES
from brenier.apps.cli.drift_arguments import add_drift
from brenier.apps.cli.unknown import UNKNOWN
from brenier.apps.colour import SPACES
from brenier.apps.colour.demo import demo
from brenier.apps.colour.palette import PALETTE
from brenier.estimators import POTENTIALS
from brenier.transport.maps.bulk import ENGINES, INVALID_ROWS


def add_commands(group: Commands) -> None:
    """Add all commands, in the order of the help."""
    _add_fit(group)
    _add_transport(group)
    _add_evaluate(group)
    _add_certify(group)
    _add_export(group)
    _add_info(group)
    add_drift(group)
    add_control(group)
    _add_colour(group)
    _add_demo(group)


def _add_fit(group: Commands) -> None:
    parser = add_command(
        group,
        "fit SOURCE TARGET --out FOLDER",
        commands.fit,
        "learn the map from one file's samples to another's, with a report",
        "brenier fit source.npy target.npy --out model/",
    )
    add_pair(parser, "fit")
    run = parser.add_argument_group("the run")
    text = "where model and report go"
    run.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=text)
    add_seed(run)
    add_again(run)
    text = "bounds of the distance (seconds), or also the error of the map (about one more fit)"
    run.add_argument("--certify", choices=["bounds", "full"], help=text)
    _add_map_settings(parser)
    _add_cost(parser)
    _add_training_settings(parser)


def _add_map_settings(parser: CommandParser) -> None:
    """Add the parameters of `OptimalTransport` that say which map is learnt."""
    group = parser.add_argument_group("the map")
    text = "convex: unique inverses, a certified bound; free: often closer; auto: by the dimension"
    add_setting(group, "--potential", text, choices=POTENTIALS)
    text = "networks whose mean is the potential (default: 1 or 2, by time and rows)"
    add_setting(group, "--n-networks", text, kind=int, metavar="N")
    text = "the map training starts from"
    starts = ["auto", "affine", "shift", "identity"]
    add_setting(group, "--start", text, choices=starts)
    text = "what one unit of cost is in each feature"
    add_setting(group, "--scale", text, choices=["auto", "common", "feature"])
    text = "keep no source rows in the model (default: up to 1,024, where inverses start, and of few those of a plan)"
    group.add_argument(
        "--no-rows",
        dest="keep_rows",
        action="store_false",
        default=argparse.SUPPRESS,
        help=text,
    )


def _add_cost(parser: CommandParser) -> None:
    """Add the cost and the mass."""
    group = parser.add_argument_group("the cost and the mass")
    text = "that transport is optimal for (default: squared_euclidean)"
    group.add_argument("--cost", choices=COST_NAMES, help=text)
    numbers = {
        "--p": "the power of --cost power or separable_power, above 1",
        "--sparsity": "of --cost elastic: features are moved where that gains more",
        "--cost-scale": "of --cost log_cosh: about the length of displacements (default: 1)",
        "--rho": "price of mass that is created or destroyed, in units of the cost; without it mass is balanced",
        "--source-rho": "the same, of SOURCE alone",
        "--target-rho": "the same, of TARGET alone, whose outliers then need not be served",
    }
    for flag, text in numbers.items():
        group.add_argument(flag, type=float, metavar="X", help=text)
    text = "of --cost mahalanobis: an array or table (d, d)"
    group.add_argument("--matrix", type=Path, metavar="FILE", help=text)


def _add_training_settings(parser: CommandParser) -> None:
    """Add the parameters of `OptimalTransport` that say how the map is learnt."""
    group = parser.add_argument_group("training")
    text = "bound on the residual of inner problems"
    add_setting(group, "--tol", text, kind=float, metavar="X")
    text = "training steps at most (default: 3000, fewer for few rows, or as --max-time allows)"
    add_setting(group, "--max-steps", text, kind=int, metavar="N")
    text = "seconds of wall time that the whole fit may take, reading of files aside"
    add_setting(group, "--max-time", text, kind=float, metavar="S")
    text = "processes, -1 for one per core (default: as many as save time)"
    add_setting(group, "--n-jobs", text, kind=int, metavar="N")
    text = "rows of either side per step"
    add_setting(group, "--batch-size", text, kind=int, metavar="N")
    text = "at the start; it decays to zero"
    add_setting(group, "--learning-rate", text, kind=float, metavar="X")
    text = "evaluations without progress before it stops"
    add_setting(group, "--patience", text, kind=int, metavar="N")
    text = "where to train, for example cuda"
    add_setting(group, "--device", text, kind=usable_device)
    text = "precision of the network"
    add_setting(group, "--dtype", text, choices=["float32", "float64"])


def _add_transport(group: Commands) -> None:
    parser = add_command(
        group,
        "transport MODEL INPUT OUTPUT",
        commands.transport_files,
        "move the rows of files with a saved map",
        "brenier transport model/ new.csv moved.csv --columns height,weight\n"
        "  brenier transport model/ 'in/*.parquet' out/ --workers 4",
    )
    add_model(parser)
    text = "rows to move, a file, a folder or a pattern of files; other columns of tables are kept"
    parser.add_argument("input", metavar="INPUT", help=text)
    text = "where they go: a file, whose suffix names its kind, or a folder"
    parser.add_argument("output", metavar="OUTPUT", help=text)
    way = parser.add_argument_group("which way").add_mutually_exclusive_group()
    text = "move target rows back to the source"
    way.add_argument("--inverse", action="store_true", help=text)
    text = "stop on the way: 0 is x, 1 is T(x)"
    way.add_argument("--interpolate", type=float, metavar="T", help=text)
    data = parser.add_argument_group("the file")
    add_columns(data, "those of the model")
    data.add_argument("--key", metavar="NAME", help="which array of a .npz file")
    add_labels(data)
    text = "rows whose class the model does not know: stop, copy them unmoved, or leave them out (default: error)"
    data.add_argument(
        "--unknown-labels", choices=UNKNOWN, default=UNKNOWN[0], help=text
    )
    add_dialect(data)
    _add_many_files(parser.add_argument_group("many files, or large ones"))


def _add_many_files(group: Container) -> None:
    """Add what a folder, a pattern or several processes take; .parquet, .arrow, .feather, .csv and .npy files."""
    text = "processes of one thread each, -1 for one per core (default: 1)"
    group.add_argument("--workers", type=int, metavar="N", help=text)
    text = "who moves files: processes here, or the workers of Dask (default: local)"
    group.add_argument("--engine", choices=ENGINES, help=text)
    text = "move again what an earlier run into the folder has finished, and replace files that are in the way"
    group.add_argument("--restart", action="store_true", help=text)
    text = "the column that says how every row ended (default: status, in a single file none)"
    group.add_argument("--status", metavar="NAME", help=text)
    text = "rows with NaN, inf or nothing: leave them empty, or stop (default: null)"
    group.add_argument("--invalid-rows", choices=INVALID_ROWS, help=text)
    text = "the columns of the covariates, for a model that was fitted with such"
    group.add_argument("--covariates", type=column_names, metavar="A,B", help=text)


def _add_evaluate(group: Commands) -> None:
    parser = add_command(
        group,
        "evaluate MODEL SOURCE TARGET",
        commands.evaluate,
        "measure a saved map on samples, compared with simpler maps",
        "brenier evaluate model/ source_test.npy target_test.npy --out evaluation/",
        quiet=False,
    )
    add_model(parser)
    add_pair(parser, "evaluate")
    output = parser.add_argument_group("output")
    text = "write a report with plots there"
    output.add_argument("--out", type=Path, metavar="FOLDER", help=text)
    add_json(output)
    add_seed(output, "of the rows that are drawn")


def _add_certify(group: Commands) -> None:
    parser = add_command(
        group,
        "certify MODEL SOURCE TARGET",
        commands.certify,
        "bounds of the distance and the error of a saved map, from rows its fit has not seen",
        "brenier certify model/ source_new.npy target_new.npy",
    )
    add_model(parser)
    add_pair(parser, "certify")
    output = parser.add_argument_group("the certificate")
    text = "of every bound (default: 0.95)"
    output.add_argument(
        "--confidence", type=float, default=0.95, metavar="P", help=text
    )
    text = "leave out the error of the map, which takes about one more fit"
    output.add_argument(
        "--no-map-error", dest="map_error", action="store_false", help=text
    )
    add_json(output)
    add_seed(output)


def _add_export(group: Commands) -> None:
    parser = add_command(
        group,
        "export MODEL OUTPUT",
        commands.export,
        "write a saved map as one .onnx or .pt2 file, which runs without brenier",
        "brenier export model/ model.onnx --dtype float32",
        quiet=False,
    )
    add_model(parser)
    text = "the file; its suffix, .onnx or .pt2, says what kind it is"
    parser.add_argument("output", type=Path, metavar="OUTPUT", help=text)
    output = parser.add_argument_group("the file")
    text = "the map, or what an inverse minimises (default: map)"
    output.add_argument(
        "--what", choices=["map", "potential"], default="map", help=text
    )
    text = "of inputs and outputs (default: float64)"
    kinds = ["float32", "float64"]
    output.add_argument("--dtype", choices=kinds, default="float64", help=text)
    add_json(output)


def _add_info(group: Commands) -> None:
    parser = add_command(
        group,
        "info MODEL",
        commands.info,
        "print what a saved map or policy is, and what is certified about it",
        "brenier info model/ --json",
        quiet=False,
    )
    add_model(parser)
    add_json(parser)


def _add_colour(group: Commands) -> None:
    parser = add_command(
        group,
        "colour PHOTO PALETTE --out FILE",
        commands.colour,
        "grade a photograph with the colours of another",
        "brenier colour photo.jpg palette.jpg --out moved.jpg --strength 0.7",
    )
    text = "the photograph to grade"
    parser.add_argument("photo", type=Path, metavar="PHOTO", help=text)
    text = "the picture whose colours it takes"
    parser.add_argument("palette", type=Path, metavar="PALETTE", help=text)
    _add_colour_output(parser)
    look = parser.add_argument_group("the look")
    text = "from 0 to 1, the default: all the way"
    look.add_argument("--strength", type=float, default=1.0, metavar="X", help=text)
    text = "where colours are compared (default: oklab)"
    look.add_argument("--space", choices=SPACES, default="oklab", help=text)
    evenness = PALETTE.evenness
    text = f"0: every pixel counts alike, plain areas dominate; 1: every colour does (default: {evenness})"
    look.add_argument(
        "--evenness", type=float, default=evenness, metavar="X", help=text
    )
    training = parser.add_argument_group("training")
    steps = PALETTE.max_steps
    text = f"training steps (default: {steps})"
    training.add_argument(
        "--max-steps", type=int, default=steps, metavar="N", help=text
    )
    add_seed(training)


def _add_colour_output(parser: CommandParser) -> None:
    """Add where the results of `colour` go."""
    group = parser.add_argument_group("output")
    text = "where the graded photograph goes"
    group.add_argument("--out", type=Path, required=True, metavar="FILE", help=text)
    text = "the palette's picture, graded back"
    group.add_argument("--inverse-out", type=Path, metavar="FILE", help=text)
    text = "save the map there"
    group.add_argument("--model", type=Path, metavar="FOLDER", help=text)
    text = "write a report with plots there"
    group.add_argument("--report", type=Path, metavar="FOLDER", help=text)


def _add_demo(group: Commands) -> None:
    parser = add_command(
        group,
        "demo",
        demo,
        "grade one of two example photographs with the other, with a report",
        "brenier demo --out demo/",
    )
    folder, text = Path("demo"), "default: demo/"
    parser.add_argument("--out", type=Path, default=folder, metavar="FOLDER", help=text)
    text = "train for seconds only, to see that it works"
    parser.add_argument("--quick", action="store_true", help=text)
