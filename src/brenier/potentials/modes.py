"""The modes of torch under which this library computes, whatever the caller has switched on or off.

Maps need derivatives of potentials, and training those of losses. So neither may depend on whether the caller has
turned gradients off, works in lower precision by autocast, or has another default device or type.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

_DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
_HALVES = (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def usual_modes(*, gradients: bool) -> Iterator[None]:
    """Compute outside inference mode and autocast, with new tensors on the CPU unless told otherwise.

    Also a decorator. What the caller had switched on is on again afterwards.

    Args:
        gradients: whether graphs are recorded.
    """
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        for kind in _DEVICE_TYPES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


class UsualType(contextlib.ContextDecorator):
    """Make tensors in single precision where the caller's default is a half, in which few of torch's functions work.

    Torch has one default for all threads. So the first of several that overlap sets it, and the last restores it.
    """

    _lock = threading.Lock()
    _inside = 0
    _before = torch.float32

    def __enter__(self) -> None:
        cls = type(self)
        with cls._lock:
            if not cls._inside:
                cls._before = torch.get_default_dtype()
                if cls._before in _HALVES:
                    torch.set_default_dtype(torch.float32)
            cls._inside += 1

    def __exit__(self, *_: object) -> None:
        cls = type(self)
        with cls._lock:
            cls._inside -= 1
            if not cls._inside and cls._before in _HALVES:
                torch.set_default_dtype(cls._before)
