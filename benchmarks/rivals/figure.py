"""The figure of errors and costs over the dimension, drawn from the rows between Gaussians."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from benchmarks.harness.rows import Row, latest, read

PANELS = (
    ("forward_uvp", "forward L2-UVP, %"),
    ("backward_uvp", "backward L2-UVP, %"),
    ("forward_seconds", "seconds for 10,000 rows"),
    ("backward_seconds", "seconds for 10,000 rows back"),
    ("peak_memory_mib", "peak memory, MiB"),
    ("stored", "numbers stored"),
)


def draw_costs(folder: Path) -> None:
    """Draw `rivals-costs.png` into a folder of rows, where it has enough of them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [
        row
        for row in latest(read(folder / "rivals.jsonl"))
        if row.problem.startswith("gaussian") and row.status in ("ok", "unconverged")
    ]
    lines: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.seed == 0:
            lines[row.method].append(row)
    whole = {name: found for name, found in lines.items() if len(found) > 1}
    if not whole:
        return
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 9), layout="constrained")
    colours = [pyplot.get_cmap("tab20")(i) for i in range(20)]
    for axis, (name, title) in zip(axes.flat, PANELS, strict=True):
        for i, (method, found) in enumerate(sorted(whole.items())):
            known = sorted(
                (row.get("dim"), row.get(name))
                for row in found
                if row.get(name) is not None and row.get(name) > 0
            )
            if known:
                style = ("-", "--", ":")[i // 20]
                dims, values = zip(*known, strict=True)
                axis.plot(
                    dims, values, style, marker=".", color=colours[i % 20], label=method
                )
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("d")
        axis.set_title(title)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.savefig(folder / "rivals-costs.png", dpi=80)
    pyplot.close(figure)
