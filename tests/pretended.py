"""A device that is none: its tensors say "cuda:0", compute on the CPU, and obey the rules of a GPU.

Inside `pretended_device()` a machine without a GPU seems to have one. What is on it is computed by the kernels of the
CPU, so that its numbers are those of the CPU to the bit; but

* an operator that mixes a tensor of the device with one of the CPU raises as on a GPU. Tensors without dimensions are
  taken by operators that work element by element, and row numbers of the CPU index a tensor of the device;
* numpy does not take a tensor of the device, and a generator of the CPU draws nothing there;
* whatever makes the host wait for the device is counted, with its place in the library: values read, shapes that follow
  from values, copies from the host that are not told to return at once.

To the C++ code of torch the tensors lie on its device "meta", which it has no streams for.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch.utils._device import DeviceContext
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda:0")
HOST = torch.device("cpu")
META = torch.device("meta")
LIBRARY = "/src/brenier/"

INDEXING = {
    "aten::index",
    "aten::index_put",
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::_unsafe_index",
    "aten::_unsafe_index_put",
}
COPIES = {"aten::_to_copy", "aten::copy_", "aten::copy"}
# What takes a tensor of the CPU without dimensions, beside all that works element by element.
TAKE_SCALARS = {
    "aten::where",
    "aten::masked_fill",
    "aten::masked_fill_",
    "aten::index_fill",
    "aten::index_fill_",
    "aten::fill",
    "aten::fill_",
    *INDEXING,
    *COPIES,
}
# Their results have shapes, or are checks, that the host waits for.
READS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::repeat_interleave",
    "aten::equal",
    "aten::bincount",
    "aten::_linalg_check_errors",
    "aten::_linalg_eigh",
    "aten::_linalg_svd",
    "aten::linalg_eig",
    "aten::linalg_lstsq",
}


class MismatchError(RuntimeError):
    """Tensors of the device and of the host in one operator."""


class OnDevice(torch.Tensor):
    """A tensor of the pretended device. Attribute `inner`: the tensor of the CPU that holds its numbers."""

    inner: torch.Tensor  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=META,
        )
        made.inner = inner
        return made

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    @property  # type: ignore[override]
    def data(self) -> torch.Tensor:
        """The tensor without its history, which may be set."""
        return self.detach()

    @data.setter  # type: ignore[override]
    def data(self, other: OnDevice) -> None:
        torch.Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.inner = other.inner

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnDevice({self.inner})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be saved as what `torch.load(..., map_location="cpu")` reads back."""
        return self.inner.__reduce_ex__(protocol)

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first"
        )

    def new_tensor(  # type: ignore[override]
        self, data: Any, *, dtype: Any = None, **others: Any
    ) -> Any:
        return torch.tensor(data, dtype=dtype or self.dtype, device=DEVICE, **others)

    def __array__(self, dtype: Any = None) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{function} on the pretended device outside of it")


@dataclass
class Traffic:
    """What made the host wait for the device.

    Attributes:
        reads: of values, and of shapes that follow from values, by place.
        uploads: copies to the device that were not told to return at once, by place.
        operators: how many ran on the device.
    """

    reads: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    operators: int = 0

    def waits(self, *but: str) -> int:
        """Return how often the host waited, places that begin like one of `but` aside."""
        both = [*self.reads.items(), *self.uploads.items()]
        return sum(n for place, n in both if not place.startswith(but))

    def clear(self) -> None:
        """Begin to count anew."""
        self.reads.clear()
        self.uploads.clear()
        self.operators = 0


class _Pretend(TorchDispatchMode):
    """Every operator, as long as the device is there."""

    def __init__(self, traffic: Traffic, *, double: bool) -> None:
        super().__init__()
        self.traffic, self.double = traffic, double

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        known = _operator(function)
        tensors = _tensors((*args, *kwargs.values()))
        there = any(isinstance(each, OnDevice) for each in tensors)
        asked = kwargs.get("device")
        if not there and not _is_pretended(asked):
            return function(*args, **kwargs)
        if there:
            _check_devices(known, args, kwargs, tensors)
        if "generator" in kwargs:
            _check_generator(kwargs["generator"])
        to_host = asked is not None and asked.type == "cpu"
        if asked is not None:
            kwargs["device"] = HOST
        self._count(known.name, args, kwargs, there=there, to_host=to_host)
        inner = {name: _inner(each) for name, each in kwargs.items()}
        result = function(*map(_inner, args), **inner)
        if known.written and known.returns:
            return _written(known, function, args, kwargs)
        return result if to_host else self._placed(result)

    def _count(
        self, name: str, args: Any, kwargs: Any, *, there: bool, to_host: bool
    ) -> None:
        """Count what makes the host wait."""
        self.traffic.operators += 1
        waits = not kwargs.get("non_blocking", False)
        if name == "aten::copy_":
            waits = not (args[2] if len(args) > 2 else not waits)
            into, of = (isinstance(each, OnDevice) for each in args[:2])
            if into and not of and waits:
                self.traffic.uploads[_place()] += 1
            if of and not into:
                self.traffic.reads[_place()] += 1
        elif (to_host and there) or name in READS:
            self.traffic.reads[_place()] += 1
        elif name == "aten::_to_copy" and not there and waits:
            self.traffic.uploads[_place()] += 1
        elif name in INDEXING:
            index = _tensors(args[1])
            if any(each.dtype in (torch.bool, torch.uint8) for each in index):
                self.traffic.reads[_place()] += 1
            elif not all(isinstance(each, OnDevice) for each in index):
                self.traffic.uploads[_place()] += 1

    def _placed(self, result: Any) -> Any:
        """Return a result on the device."""
        if isinstance(result, torch.Tensor):
            if result.dtype == torch.float64 and not self.double:
                raise TypeError(
                    "Cannot convert a tensor to float64, which this device does not support"
                )
            return OnDevice(result)
        if isinstance(result, list | tuple):
            return type(result)(map(self._placed, result))
        return result


class _Operator(NamedTuple):
    """What is known of an operator: its name, the arguments that it writes to, and what it takes and gives."""

    name: str
    written: tuple[tuple[int, str], ...]
    takes_scalars: bool
    returns: bool
    reshapes: bool


@functools.cache
def _operator(function: Any) -> _Operator:
    schema = function._schema
    written = tuple(
        (place, argument.name)
        for place, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    scalars = schema.name in TAKE_SCALARS or torch.Tag.pointwise in function.tags
    reshapes = torch.Tag.inplace_view in function.tags
    return _Operator(schema.name, written, scalars, bool(schema.returns), reshapes)


def _written(known: _Operator, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return the arguments that an operator has written to."""
    if known.reshapes:
        with no_dispatch():  # the same for what C++ knows of the shape
            function(*args, **kwargs)
    found = [
        args[place] if place < len(args) else kwargs[name]
        for place, name in known.written
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _tensors(parts: Any) -> list[torch.Tensor]:
    """Return the tensors among arguments, and in lists of them."""
    found = []
    for each in parts:
        if isinstance(each, torch.Tensor):
            found.append(each)
        elif isinstance(each, list | tuple):
            found += _tensors(each)
    return found


def _is_pretended(asked: torch.device | None) -> bool:
    """Say whether an operator is asked for a result on the device, by its name or by that which C++ knows it under."""
    if asked is None:
        return False
    return asked == DEVICE or (asked.type == META.type and not _really_meta.get())


_really_meta = ContextVar("really_meta", default=False)


def _within_a_context(self: DeviceContext, function: Any, *rest: Any) -> Any:
    """Run a function of torch inside `with torch.device(...)`, and remember where that is the true device "meta"."""
    token = _really_meta.set(self.device.type == META.type)
    try:
        return _usual_context(self, function, *rest)
    finally:
        _really_meta.reset(token)


_usual_context = DeviceContext.__torch_function__


def _inner(each: Any) -> Any:
    """Return what an argument holds on the CPU."""
    if isinstance(each, OnDevice):
        return each.inner
    if isinstance(each, list | tuple):
        return type(each)(map(_inner, each))
    return each


def _place() -> str:
    """Return the innermost line of the library that is being run, as `file:line function`."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if LIBRARY in path:
            file = path.split(LIBRARY)[1]
            return f"{file}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


def _check_generator(generator: torch.Generator | None) -> None:
    """Raise where a generator does not draw on the device."""
    if generator is not None and generator.device != DEVICE:
        raise MismatchError(
            f"Expected a 'cuda' device type for generator but found '{generator.device}'"
        )


def _check_devices(
    known: _Operator, args: Any, kwargs: dict[str, Any], tensors: list[torch.Tensor]
) -> None:
    """Raise where an operator would not take these tensors together."""
    strangers = [each for each in tensors if not isinstance(each, OnDevice)]
    if known.name in COPIES or not strangers:
        return
    if known.name in INDEXING:
        if not isinstance(args[0], OnDevice):
            raise _mismatch(known.name, "what is indexed is on the CPU")
        index = {id(each) for each in _tensors(args[1])}
        strangers = [each for each in strangers if id(each) not in index]
    for each in strangers:
        if each.dim() or not known.takes_scalars:
            raise _mismatch(known.name, f"a tensor {tuple(each.shape)} is on the CPU")
    for place, name in known.written:
        target = args[place] if place < len(args) else kwargs.get(name)
        if isinstance(target, torch.Tensor) and not isinstance(target, OnDevice):
            raise _mismatch(known.name, "the result is on the CPU")


def _mismatch(name: str, fault: str) -> MismatchError:
    return MismatchError(
        f"Expected all tensors to be on the same device, cuda:0, but in {name} {fault}"
    )


@contextlib.contextmanager
def pretended_device(*, double: bool = True) -> Iterator[Traffic]:
    """Have a device `DEVICE`.

    Args:
        double: whether it knows float64.
    """
    traffic = Traffic()
    known = torch._C._only_lift_cpu_tensors()  # type: ignore[attr-defined]
    torch._C._set_only_lift_cpu_tensors(True)  # type: ignore[attr-defined]
    try:
        with (
            mock.patch("torch.cuda._lazy_init"),
            mock.patch.object(DeviceContext, "__torch_function__", _within_a_context),
            _Pretend(traffic, double=double),
        ):
            yield traffic
    finally:
        torch._C._set_only_lift_cpu_tensors(known)  # type: ignore[attr-defined]
