"""Tables of one law, and the same changed."""

import numpy as np
import pandas


def machine(rows: int, seed: int, shift: float = 0.0, red: float = 0.3) -> pandas.DataFrame:  # fmt: skip
    """Return rows of three numbers, a colour and a flag; `shift` is of the first number, `red` a share."""
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(rng.normal(size=(rows, 3)), columns=list("abc"))
    frame["a"] += shift
    shares = [red, 0.5, 0.5 - red]
    frame["colour"] = rng.choice(["red", "green", "blue"], p=shares, size=rows)
    frame["flag"] = rng.random(rows) < 0.5
    return frame
