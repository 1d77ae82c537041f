"""`brenier info`: what a saved map or policy is, how it was made, and what is certified about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brenier.apps.cli.console import ExitCode, print_json
from brenier.apps.cli.control import control_facts
from brenier.control import FeedbackPolicy, holds_policy
from brenier.estimators import load_model
from brenier.report import class_table, format_cell, text_table, with_current_names
from brenier.transport.maps import TransportMap


def info(model: Path, *, as_json: bool = False) -> ExitCode:
    """Print what a saved model is.

    Args:
        model: the folder that `fit` or `control` wrote.
        as_json: whether to print JSON.
    """
    if holds_policy(model):
        return _policy_info(model, as_json)
    ot, description = load_model(model)
    transport = ot.map_
    parameters = description["parameters"]
    given = {name: value for name, value in parameters.items() if value is not None}
    summary = {
        "model": str(model),
        "format": description["format"],
        "dimension": transport.dim,
        "features": description["features"],
        "potential": description["potential"],
        "weights": sum(tensor.numel() for tensor in transport.network.parameters()),
        "dtype": description["dtype"],
        "start_rows": description.get("start_rows", 0),
        "settings": given,
        "certificate": description["held_out"],
        "certified": description.get("certificate"),
        "ground": description.get("ground"),
        "metric": description.get("metric"),
        "diagnostics": with_current_names(description["diagnostics"]),
        "training": _summarise_training(description["history"]),
    }
    for name in ("labels", "covariates"):
        if name in description:
            summary[name] = description[name]
    if as_json:
        print_json(summary)
        return ExitCode.OK
    print(_format_summary(summary))
    if isinstance(transport, TransportMap):
        if transport.held_out_distance is not None:
            print(f"\n{transport.held_out_distance.statement()}")
    elif transport.labels:
        print(f"\n{class_table(transport, text_table)}")
    if ot.certificate_ is not None:
        print(f"\n{ot.certificate_.statement()}")
    return ExitCode.OK


def _policy_info(folder: Path, as_json: bool) -> ExitCode:
    """Print what a saved policy of control is."""
    facts = control_facts(FeedbackPolicy.load(folder))
    if as_json:
        print_json({"policy": str(folder), **facts})
        return ExitCode.OK
    groups = ("fields", "settings", "training")
    plain = {name: value for name, value in facts.items() if name not in groups}
    blocks = [_format_group("", _facts({"policy": str(folder), **plain}.items()))]
    for heading in groups:
        told = facts[heading]
        if isinstance(told, Mapping) and told:
            blocks.append(_format_group(heading, _facts(told.items())))
    print("\n\n".join(blocks))
    return ExitCode.OK


def _summarise_training(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the summary of a training record; nothing where there is none."""
    if not history:
        return {}
    first, last = history[0], with_current_names(history[-1])
    converged = [row for row in history if not row["held_out_unconverged"]]
    best = min(converged or history, key=lambda row: row["value"])
    return {
        "steps": last["step"],
        "seconds": last["seconds"],
        "evaluations": len(history),
        "held_out_J_at_start": first["value"],
        "held_out_J_at_best": best["value"],
        "best_step": best["step"],
        "rollbacks": last.get("rollbacks", 0),
    }


def _format_summary(summary: Mapping[str, Any]) -> str:
    """Return the summary for people: one fact a line, grouped."""
    blocks = [_format_group("", _facts_of_map(summary))]
    for heading in ("settings", "training", "diagnostics"):
        facts = _facts(summary[heading].items())
        if facts:
            blocks.append(_format_group(heading, facts))
    return "\n\n".join(blocks)


def _facts_of_map(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the map is, as names and values."""
    members = summary["potential"].get("mean", [summary["potential"]])
    kinds = Counter(member["class"] for member in members)
    kind, features = members[0]["class"], summary["features"]
    if len(members) > 1:
        kind = f"mean of {' and '.join(f'{n} {name}' for name, n in kinds.items())}"
    dim, rows = summary["dimension"], summary["start_rows"]
    facts = [
        ("model", summary["model"]),
        ("map", f"{dim} features -> {dim} features"),
        ("features", "unnamed" if features is None else ", ".join(features)),
        ("potential", f"{kind}, {summary['weights']} weights, {summary['dtype']}"),
        ("source rows", f"{rows} kept, for inverses to start at" if rows else "none"),
    ]
    if summary["metric"] is not None:
        facts.append(("cost", "Mahalanobis"))
    if summary["ground"] is not None:
        ground = dict(summary["ground"])
        cost = dict(ground["cost"])
        facts.append(("cost", _in_words(cost.pop("name"), cost)))
        if ground["mass"] is not None:
            facts.append(("mass", _in_words("unbalanced", ground["mass"])))
    if "covariates" in summary:
        low, high = summary["covariates"]["low"], summary["covariates"]["high"]
        ranges = [
            f"{format_cell(least)} to {format_cell(most)}"
            for least, most in zip(low, high, strict=True)
        ]
        facts.append(("covariates", ", ".join(ranges)))
    # One of every kind tells of all, and the dimension is said already.
    told = {member["class"]: member["config"] for member in reversed(members)}
    config = {name: told[kind][name] for kind in kinds for name in told[kind]}
    config.pop("dim", None)
    facts += [(name, format_cell(value)) for name, value in config.items()]
    return facts


def _in_words(name: str, numbers: Mapping[str, object]) -> str:
    """Return a name, and the numbers that belong to it; of a price None is exact."""
    told = [
        f"{key} {'exact' if value is None else format_cell(value)}"
        for key, value in numbers.items()
    ]
    return ", ".join([name.replace("_", " "), *told])


def _facts(values: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    """Return names in words, and values as people read them."""
    return [(name.replace("_", " "), format_cell(value)) for name, value in values]


def _format_group(heading: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return names and values in two columns, below a heading where there is one."""
    width = max(len(name) for name, _ in facts)
    lines = [f"  {name.ljust(width)}  {value}" for name, value in facts]
    if heading:
        lines.insert(0, heading.capitalize())
    return "\n".join(lines)
