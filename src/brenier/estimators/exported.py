"""How the estimator is exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from brenier.transport.maps import Exported

if TYPE_CHECKING:
    from brenier.estimators.optimal_transport import OptimalTransport


class ExportedTransport:
    """A map of samples, and the files it is exported to."""

    def export(
        self, path: str | Path, what: str = "map", dtype: str = "float64"
    ) -> Exported:
        """Write `transform` as one file of standard operations, that runs without this library.

        As `TransportMap.export` says; the file also tells the names of the features.

        Args:
            path: ends in .pt2 or .onnx (which takes the extra "export").
            what: "map", or "potential": what `inverse_transform` minimises.
            dtype: of inputs and outputs, "float32" or "float64".

        Raises:
            DataError: where the path, the extra or the map do not allow it, or the file does not agree with
                `transform`; nothing is written then.
            OSError: where the file cannot be written; what was there before stays.
        """
        own = cast("OptimalTransport", self)
        names = getattr(own, "feature_names_in_", None)
        features = None if names is None else list(map(str, names))
        found: Exported = own._fitted().export(path, what, dtype, features=features)
        return found
