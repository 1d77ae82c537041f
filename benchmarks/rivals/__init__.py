"""Every baseline of `brenier.baselines` beside the default: on pairs with known maps, and as pictures in the plane."""
