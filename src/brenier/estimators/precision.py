"""What matrix products on a GPU are rounded to, and what that leaves of the bound on inner residuals."""

from __future__ import annotations

import dataclasses

import torch

from brenier.errors import DataWarning, warn
from brenier.estimators.options import Options


@dataclasses.dataclass(frozen=True)
class RoundedProducts:
    """What products of matrices keep where TF32 is allowed.

    Attributes:
        spacing: of TF32 numbers at one, which have ten binary digits behind the point: residuals of inner problems, in
            coordinates where features have variance one, are not known better than that.
    """

    spacing: float = 2.0**-10


def warn_of_tf32(options: Options) -> None:
    """Warn where a GPU may round products so coarsely that inner problems cannot be solved as well as asked for."""
    tol = options.settings.pipeline.inverse_tol_factor * options.objective.tol
    single = options.device.type == "cuda" and options.dtype == torch.float32
    if not (single and _allows_tf32()) or tol >= RoundedProducts.spacing:
        return
    warn(
        "device: the GPU may round the factors of matrix products to TF32, which has three digits, and inverses are to "
        f"be found to {tol:g}: rows will not converge. Call torch.set_float32_matmul_precision('highest') before the "
        "fit and whenever the map is used, or raise `tol`",
        DataWarning,
    )


def _allows_tf32() -> bool:
    """Say whether the user has let torch take TF32 for products of float32 matrices."""
    products = torch.backends.cuda.matmul
    told = getattr(products, "fp32_precision", None)
    return bool(products.allow_tf32) if told is None else told == "tf32"
