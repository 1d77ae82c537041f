"""What every figure must be."""

from pathlib import Path

import numpy as np
from PIL import Image


def check_drawn(path: Path) -> None:
    """Raise unless a file is a PNG that shows something."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 200
    assert pixels.std() > 5
