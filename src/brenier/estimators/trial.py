"""A potential of one's own, tried on a few points before training: what it gives, and whether that can be trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.potentials import Potential


@dataclasses.dataclass(frozen=True)
class TrialSettings:
    """How potentials are tried.

    Attributes:
        rows: how many points; not a number that dimensions have, so that axes in the wrong order are seen.
        rtol: by how much, beside their size, numbers may differ that should be equal; mistakes differ by much more.
    """

    rows: int = 7
    rtol: float = 1e-2


def check_potential(
    potential: Potential, settings: TrialSettings | None = None
) -> None:
    """Try a potential on a few points.

    Args:
        potential: in the precision and on the device of training, its parameters to be trained.
        settings: how.

    Raises:
        DataError: where it fails, gives other shapes than it should or numbers that are not finite, depends on no
            parameter, or where its rows depend on each other or its gradient is not that of its value.
    """
    try:
        fault = next(_faults(potential, settings or TrialSettings()), None)
    except Exception as error:
        raise DataError(
            f"potential: {type(potential).__name__} failed on a trial ({type(error).__name__}: {error}); it must take "
            f"points (n, {potential.dim}), of the precision of its parameters, to values (n,)",
            argument="potential",
        ) from error
    if fault is not None:
        raise DataError(
            f"potential: {type(potential).__name__}: {fault}", argument="potential"
        )


def _faults(potential: Potential, settings: TrialSettings) -> Iterator[str]:
    """Yield what is wrong with a potential, the first fault first; what follows a fault may fail."""
    n, d = settings.rows, potential.dim
    parameter = next(potential.parameters())
    x = torch.linspace(-1, 1, n * d, dtype=parameter.dtype, device=parameter.device)
    x = x.reshape(n, d)
    value = potential(x)
    yield from _wrong("its value at points", value, (n,))
    if not value.requires_grad:
        yield "its value depends on no parameter in a way that can be differentiated; nothing would be trained"
    found = torch.autograd.grad(
        value.sum(), list(potential.parameters()), allow_unused=True
    )
    if all(part is None for part in found):
        yield "its value depends on none of its own parameters; nothing would be trained"
    again, gradient = potential.value_and_gradient(x)
    yield from _wrong("the value of `value_and_gradient`", again, (n,))
    yield from _wrong("its gradient", gradient, (n, d))
    random = _differ(potential(x), value, settings)
    if random or _differ(potential(x[:2]), value[:2], settings):
        yield (
            "the value at a point depends on the other points, or on chance; leave out what mixes rows or draws "
            "numbers, such as batch normalisation and dropout"
        )
    traced = potential.gradient(x)
    own = potential.transport_dim
    if _differ(traced[:, :own], gradient[:, :own], settings) or _differ(
        value, again, settings
    ):
        yield "`value_and_gradient` does not agree with `forward`; correct it, or leave it out"
    yield from _wrong("its Hessian product", potential.hessian_product(x, x), (n, d))


def _wrong(what: str, found: Tensor, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield what is wrong with a result."""
    if not isinstance(found, Tensor):
        yield f"{what} is of type {type(found).__name__}; return a tensor of shape {shape}"
    if tuple(found.shape) != shape:
        yield (
            f"{what} ({shape[0]} of them) has shape {tuple(found.shape)}; return {shape}, one "
            f"{'number' if len(shape) == 1 else 'row'} per point"
        )
    if not bool(torch.isfinite(found).all()):
        yield f"{what} is not finite between -1 and 1; it must be finite everywhere"


def _differ(one: Tensor, other: Tensor, settings: TrialSettings) -> bool:
    """Say whether two tensors differ by more than rounding."""
    size = float(other.detach().abs().max())
    return not torch.allclose(one, other, rtol=0, atol=settings.rtol * (size + 1e-6))
