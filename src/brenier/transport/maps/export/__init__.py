"""Maps written as one file of standard operations: traced, written, and compared with the map before it is kept."""

from brenier.transport.maps.export.export import Exported, MapExport, export_map

__all__ = ["Exported", "MapExport", "export_map"]
