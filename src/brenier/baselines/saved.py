"""A saved baseline: `baseline.json` and its tensors, read with distrust."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from brenier.baselines.model import MapFrame, MapModel, ModelMap, map_tensors
from brenier.errors import DataError
from brenier.model_files import DESCRIBED_FILES as FILES
from brenier.model_files import (
    Shapes,
    Told,
    checked_folder,
    read_described,
    read_description,
    shapes_by_name,
    unfit,
    write_described,
)
from brenier.transport.maps import label_fault

BASELINE = "baseline"  # the name of its files


class SavedBaseline(NamedTuple):
    """What is kept of a fitted baseline.

    Attributes:
        fitted: its map.
        parameters: of the estimator, as JSON holds them.
        labels: its classes, or None.
        features: names, or None.
        history, diagnostics: as the estimator has them.
    """

    fitted: ModelMap
    parameters: dict[str, Any]
    labels: list[Hashable] | None
    features: list[str] | None
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]


def save_baseline(folder: str | Path, estimator: str, saved: SavedBaseline) -> None:
    """Write a baseline, whole or not at all.

    Args:
        folder: where.
        estimator: the name of its class.
        saved: what is kept.

    Raises:
        DataError: where its labels are of a kind JSON cannot hold.
        OSError: where the folder cannot be written; what was there before stays.
    """
    for label in saved.labels or ():
        fault = label_fault(label)
        if fault is not None:
            raise DataError(
                f"labels: {fault}; fit with labels that are strings, numbers or tuples of these"
            )
    told = {
        "estimator": estimator,
        "model": saved.fitted.model.config(),
        "dtype": str(saved.fitted.dtype).removeprefix("torch."),
        **{
            name: getattr(saved, name)
            for name in ("parameters", "labels", "features", "history", "diagnostics")
        },
    }
    write_described(folder, BASELINE, map_tensors(saved.fitted), told)


def saved_estimator(folder: str | Path) -> str:
    """Return the name of the class of the baseline saved in a folder.

    Raises:
        DataError: where the folder is no path.
        ModelFileError: where it holds none, or a damaged one.
    """
    path = checked_folder(folder) / f"{BASELINE}.json"
    told, _ = read_description(path, FILES.format, FILES.largest_description)
    return str(told.get("estimator"))


def load_baseline(
    folder: str | Path,
    estimator: str,
    model_class: type[MapModel],
    device: torch.device,
) -> SavedBaseline:
    """Return what a folder holds of a baseline.

    Args:
        folder: where it was saved.
        estimator: the name that its class must have.
        model_class: of its model.
        device: to move it to.

    Raises:
        DataError: where the folder is no path.
        ModelFileError: where a file is missing, damaged, altered, made by a newer version or by another baseline.
    """

    def expected(told: Told) -> Shapes:
        """Return the shapes of the tensors described; no memory is taken for them."""
        if told["estimator"] != estimator:
            raise ValueError(
                f"holds {told['estimator']}, no {estimator}; load it with that class, or by brenier.baselines.load_any"
            )
        with torch.device("meta"):
            model = _described_model(told, model_class)
            frame = MapFrame.of_data(model.dim, torch.device("meta"))
            return shapes_by_name(
                {f"model.{k}": v for k, v in model.state_dict().items()}
                | {f"frame.{k}": v for k, v in frame.tensors().items()}
            )

    told, tensors = read_described(folder, BASELINE, expected)
    try:
        parts: dict[str, dict[str, Any]] = {"model": {}, "frame": {}}
        for name, part in tensors.items():
            if part.is_floating_point() and not bool(part.isfinite().all()):
                raise ValueError(f"{name}: holds NaN or inf")
            room, _, key = name.partition(".")
            parts[room][key] = part
        frame = MapFrame(**parts["frame"])
        frame.check()
        model = _described_model(told, model_class)
        model.load_state_dict(parts["model"])
        fitted = ModelMap(model.to(device), frame)
        if told["features"] is not None and len(told["features"]) != model.dim:
            raise ValueError("features: their number is not that of the map")
        for row in told["history"]:
            if not math.isfinite(row["step"]):
                raise ValueError("history: steps must be finite")
        return SavedBaseline(
            fitted,
            dict(told["parameters"]),
            _labels_told(told["labels"]),
            told["features"],
            [dict(row) for row in told["history"]],
            dict(told["diagnostics"]),
        )
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(folder, error) from error


def _described_model(told: Told, model_class: type[MapModel]) -> MapModel:
    """Return a model as a description tells of it, its tensors still to come."""
    if told["dtype"] not in ("float32", "float64"):
        raise ValueError("dtype: must be float32 or float64")
    model = model_class(**told["model"])
    return model.to(getattr(torch, told["dtype"]))


def _labels_told(told: object) -> list[Hashable] | None:
    """Return labels, of which JSON holds tuples as lists."""
    if told is None:
        return None
    if not isinstance(told, list):
        raise ValueError("labels: must be a list")
    return [
        tuple(_labels_told(label) or []) if isinstance(label, list) else label
        for label in told
    ]
