"""Samples and arguments that the tests of commands share."""

import numpy as np

COMMANDS = (
    *("fit", "transport", "evaluate", "certify", "export", "info"),
    *("drift", "control", "colour", "demo"),
)
SMALL = ["--max-steps", "20", "--batch-size", "64", "--quiet"]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 2)), np.sinh(RNG.normal(size=(250, 2))) + np.array([2, 0])
