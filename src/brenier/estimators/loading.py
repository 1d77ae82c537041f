"""A fitted estimator, read from the folder it was saved in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from brenier.errors import ModelFileError
from brenier.estimators import validation
from brenier.estimators.optimal_transport import OptimalTransport
from brenier.transport.maps import load_map, method_from_json


def load(folder: str | Path, device: torch.device | str = "cpu") -> OptimalTransport:
    """Return the estimator saved in a folder.

    Raises:
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    transport, description = load_map(folder, validation.check_device(device))
    try:
        parameters, features = description["parameters"], description["features"]
        known = parameters.keys() & OptimalTransport().get_params().keys()
        ot = OptimalTransport(**{name: parameters[name] for name in known})
        ot.map_, ot.history_, ot.diagnostics_ = (
            transport,
            description["history"],
            description["diagnostics"],
        )
    except (KeyError, AttributeError) as error:
        raise ModelFileError(
            f"{folder}: holds no estimator ({error}); give a folder that its `save` wrote"
        ) from error
    ot.method = method_from_json(description["method"])
    ot.n_features_in_ = transport.dim
    if features is not None:
        ot.feature_names_in_ = np.asarray(features, dtype=object)
    return ot
