"""A saved reference: `drift.json` and its rows in `drift-CHECKSUM.safetensors`, read with distrust; nothing is pickled.

Whoever can read the folder can read the rows.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brenier.datasets import NUMBER
from brenier.model_files import (
    Described,
    Shapes,
    TensorShape,
    Told,
    read_described,
    unfit,
    write_described,
)
from brenier.report.drift.reading import POLICIES, Layout
from brenier.report.drift.reference import DriftReference, Noise
from brenier.report.drift.rules import ColumnRule

REFERENCE = "drift"  # the name of its files


def holds_reference(folder: str | Path) -> bool:
    """Say whether a folder holds a saved reference, whole or damaged."""
    return (Path(folder) / f"{REFERENCE}.json").exists()


def save_reference(folder: str | Path, reference: DriftReference) -> None:
    """Write a reference, whole or not at all; see `DriftReference.save`."""
    told: dict[str, Any] = {
        "kind": "reference of drift; holds rows of the table",
        "layout": dataclasses.asdict(reference.layout),
        "rules": [rule.to_json() for rule in reference.rules],
        "encoding": reference.encoding,
        "missing": reference.missing,
        "left_out": reference.left_out,
        "rows": reference.rows,
        "dropped": reference.dropped,
        "kept_rows": len(reference.sample),
        "margins": dataclasses.asdict(reference.margins),
        "mapped": None
        if reference.mapped is None
        else dataclasses.asdict(reference.mapped),
        "no_map": reference.no_map,
        "remarks": list(reference.remarks),
    }
    sample = torch.from_numpy(np.ascontiguousarray(reference.sample))
    write_described(folder, REFERENCE, {"sample": sample}, told)


def load_reference(folder: str | Path) -> DriftReference:
    """Return the reference saved in a folder; see `DriftReference.load`."""
    found = read_described(folder, REFERENCE, _sample_shapes)
    try:
        return _reference_of(found)
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(folder, error) from error


def _sample_shapes(told: Told) -> Shapes:
    """Return the shapes of the tensors of a description."""
    shape = (int(told["kept_rows"]), len(told["rules"]))
    return {"sample": TensorShape(shape, torch.float64)}


def _reference_of(found: Described) -> DriftReference:
    """Return the reference of a description and its rows.

    Raises:
        ValueError: where it cannot be true.
    """
    told, sample = found.told, found.tensors["sample"]
    layout = dict(told["layout"])
    for name in ("names", "categorical"):
        layout[name] = tuple(map(str, layout[name]))
    rules = tuple(ColumnRule.from_json(rule) for rule in told["rules"])
    if not bool(sample.isfinite().all()):
        raise ValueError("sample: holds NaN or inf")
    if not len(sample) or told["missing"] not in POLICIES:
        raise ValueError("sample: has no rows, or missing is no policy")
    for place, rule in enumerate(rules):
        _check_rule(rule, layout["names"], sample[:, place])
    return DriftReference(
        layout=Layout(**layout),
        rules=rules,
        missing=str(told["missing"]),
        left_out={str(name): str(why) for name, why in told["left_out"].items()},
        rows=int(told["rows"]),
        dropped=int(told["dropped"]),
        sample=sample.numpy(),
        margins=_noise(told["margins"], len(rules)),
        mapped=None if told["mapped"] is None else _noise(told["mapped"], len(rules)),
        no_map=str(told["no_map"]),
        remarks=tuple(map(str, told["remarks"])),
    )


def _check_rule(rule: ColumnRule, names: tuple[str, ...], values: torch.Tensor) -> None:
    """Raise where a rule cannot be true of the rows."""
    if rule.column not in names or not rule.spread > 0:
        raise ValueError(f"rules: {rule.name} has no column or no spread")
    if not 0 <= rule.kept <= len(rule.levels):
        raise ValueError(f"rules: {rule.name} keeps categories that it has not")
    if rule.kind == NUMBER:
        return
    whole = values == values.round()
    inside = (values >= 0) & (values < len(rule.levels))
    if not bool((whole & inside).all()):
        raise ValueError(f"sample: {rule.name} holds what is no category")


def _noise(told: Told, features: int) -> Noise:
    """Return the noise of so many features."""
    moved = tuple(map(float, told["moved"]))
    if len(moved) != features or not all(0 <= each < float("inf") for each in moved):
        raise ValueError("noise: does not fit the features")
    return Noise(int(told["half"]), moved)
