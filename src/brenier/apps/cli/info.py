"""`brenier info`: what a saved model is, how it was made, and what is certified about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brenier.apps.cli.console import OK, print_json
from brenier.report import class_table, shown, text_table
from brenier.transport.maps import TransportMap, load_map


def info(model: Path, *, as_json: bool = False) -> int:
    """Print what a saved model is.

    Args:
        model: the folder that `fit` wrote.
        as_json: whether to print JSON.
    """
    transport, description = load_map(model)
    summary = {
        "model": str(model),
        "format": description["format"],
        "dimension": transport.dim,
        "features": description["features"],
        "potential": description["potential"],
        "weights": sum(part.numel() for part in transport.network.parameters()),
        "dtype": description["dtype"],
        "settings": {
            name: value
            for name, value in description["parameters"].items()
            if value is not None
        },
        "certificate": description["held_out"],
        "diagnostics": description["diagnostics"],
        "training": _training(description["history"]),
    }
    summary |= {
        name: description[name]
        for name in ("labels", "covariates")
        if name in description
    }
    if as_json:
        print_json(summary)
        return OK
    print(_page(summary))
    if isinstance(transport, TransportMap):
        if transport.held_out_distance is not None:
            print(f"\n{transport.held_out_distance.statement()}")
    elif transport.labels:
        print(f"\n{class_table(transport, text_table)}")
    return OK


def _training(history: list[dict[str, float]]) -> dict[str, float]:
    """Return the summary of a training record."""
    if not history:
        return {}
    solved = [row for row in history if not row["held_out_unconverged"]]
    first, last, best = (
        history[0],
        history[-1],
        min(solved or history, key=lambda row: row["value"]),
    )
    return {
        "steps": last["step"],
        "seconds": last["seconds"],
        "evaluations": len(history),
        "held_out_J_at_start": first["value"],
        "held_out_J_at_best": best["value"],
        "best_step": best["step"],
        "setbacks": last["setbacks"],
    }


def _page(summary: dict[str, Any]) -> str:
    """Return the summary for people: one fact a line, grouped."""
    networks = summary["potential"].get("mean", [summary["potential"]])
    spec, features = networks[0], summary["features"]
    kind = (
        spec["class"]
        if len(networks) == 1
        else f"mean of {len(networks)} {spec['class']}"
    )
    rows = [
        ["model", summary["model"]],
        ["map", f"{summary['dimension']} features -> {summary['dimension']} features"],
        ["features", "unnamed" if features is None else ", ".join(features)],
        ["potential", f"{kind}, {summary['weights']} weights, {summary['dtype']}"],
    ]
    if "covariates" in summary:
        met = zip(
            summary["covariates"]["low"], summary["covariates"]["high"], strict=True
        )
        rows.append(
            [
                "covariates",
                ", ".join(f"{shown(low)} to {shown(high)}" for low, high in met),
            ]
        )
    rows += [
        [name, shown(value)] for name, value in spec["config"].items() if name != "dim"
    ]
    groups = [("", rows)]
    for heading in ("settings", "training", "diagnostics"):
        facts = [
            [name.replace("_", " "), shown(value)]
            for name, value in summary[heading].items()
        ]
        groups.append((heading, facts))
    return "\n\n".join(_group(heading, facts) for heading, facts in groups if facts)


def _group(heading: str, facts: list[list[str]]) -> str:
    width = max(len(name) for name, _ in facts)
    lines = [f"  {name.ljust(width)}  {value}" for name, value in facts]
    return "\n".join([heading.capitalize(), *lines] if heading else lines)
