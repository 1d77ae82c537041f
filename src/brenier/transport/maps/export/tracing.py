"""From a function of tensors to a program of standard operations, for any number of rows.

The gradient of a potential is traced through automatic differentiation first, so that what remains are operations
alone; parameters and coordinates become constants of the program, and what follows from these alone is worked out.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.overrides import TorchFunctionMode

from brenier.errors import DataError
from brenier.potentials import usual_modes
from brenier.transport.maps.export.functions import Outputs, RowFunction

Operations: TypeAlias = Mapping[Any, Callable[..., Tensor]]


@usual_modes(gradients=True)
def traced(function: RowFunction, inputs: Sequence[Tensor]) -> ExportedProgram:
    """Return the program of a function.

    Args:
        function: of rows.
        inputs: examples of more than one row, each a tensor of its own.

    Raises:
        DataError: where it cannot be traced, or only for so many rows.
    """

    def called(*given: Tensor) -> Outputs:
        with SoftMaximum():
            return function(*given)

    rows = Dim("rows", min=0)
    shapes = tuple({0: rows} for _ in inputs)
    try:
        with quiet():
            # Constants are real tensors; the inputs alone stand for any.
            tracer = make_fx(
                called,
                decomposition_table=dict(IN_DOUBLE_PRECISION),
                tracing_mode="symbolic",
                _allow_non_fake_inputs=True,
            )
            module = tracer(*inputs)
            _work_out(module)
            _keep_digits(module)
            return torch.export.export(module, tuple(inputs), dynamic_shapes=shapes)
    except (
        Exception
    ) as error:  # whatever a potential or a cost of a user's own leads to
        named = type(function.rows.network).__name__
        fault = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"export: the map of a {named} cannot be written as a program for any number of rows ({fault}); its "
            "potential and cost must be made of torch operations alone, without branches or loops that depend on "
            "values, and take the number of rows by x.shape[0], not len(x)",
            argument="export",
        ) from error


class SoftMaximum(TorchFunctionMode):
    """Have log-sum-exp made of its parts, so that the weights in its gradient are divided by their sum.

    torch's own derivative is exp(s - result), which in single precision errs by the last digit of the result: more than
    weights that sum to one, which is how potentials find their gradients by hand.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Call a function, or that in place of log-sum-exp."""
        if func in (torch.logsumexp, Tensor.logsumexp):
            return _soft_maximum_of(*args, **(kwargs or {}))  # type: ignore[arg-type]
        return func(*args, **(kwargs or {}))


def _soft_maximum_of(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    top = input.amax(dim, keepdim=True).detach()
    found = (input - top).exp().sum(dim, keepdim=True).log() + top
    return found if keepdim else found.squeeze(dim)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out what torch and its exporters say of their own insides, none of it about the user's model."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # torch.export of torch 2.13 calls a function of its own that torch has deprecated.
        warnings.filterwarnings("ignore", r".*isinstance\(treespec", FutureWarning)
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _work_out(module: GraphModule) -> None:
    """Put constants, each in memory of its own, in place of all that follows from constants; leave out the rest."""
    known: dict[Node, Any] = {}
    graph = module.graph
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        if node.op == "get_attr":
            known[node] = getattr(module, str(node.target)).detach()
            continue
        if node.op != "call_function" or not set(node.all_input_nodes) <= known.keys():
            continue
        arguments, options = map_arg((node.args, dict(node.kwargs)), known.__getitem__)
        with torch.no_grad():
            known[node] = node.target(*arguments, **options)  # type: ignore[operator]
    for node, found in known.items():
        if isinstance(found, Tensor):
            constant = _new_constant(module, f"constant_{node.name}", found, node)
            node.replace_all_uses_with(constant)
    graph.eliminate_dead_code()
    used = {node.target for node in graph.nodes if node.op == "get_attr"}
    for name in {*vars(module), *module._parameters, *module._buffers} - used:
        if isinstance(getattr(module, name), Tensor):
            delattr(module, name)
    module.recompile()


def _new_constant(module: GraphModule, name: str, value: Tensor, before: Node) -> Node:
    """Return the node of a new constant."""
    module.register_buffer(name, value.clone(memory_format=torch.contiguous_format))
    with module.graph.inserting_before(before):
        return module.graph.get_attr(name)


def _keep_digits(module: GraphModule) -> None:
    """Make tensors of the numbers in operations of double precision, which ONNX would else round to single."""
    graph = module.graph
    for node in list(graph.nodes):
        found = node.meta.get("val")
        double = isinstance(found, Tensor) and found.dtype == torch.float64
        if node.op != "call_function" or not double or node.target not in PLAIN:
            continue
        for place, number in enumerate(node.args):
            if isinstance(number, float):
                name = f"number_{node.name}_{place}"
                exact = torch.tensor(number, dtype=torch.float64)
                node.update_arg(place, _new_constant(module, name, exact, node))
                node.target = PLAIN[node.target]
    module.recompile()


def _double_softplus(s: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    if s.dtype != torch.float64:
        return NotImplemented
    scaled = s * beta
    return (scaled.relu() + scaled.abs().neg().exp().log1p()) / beta


def _double_softplus_backward(
    gradient: Tensor, s: Tensor, beta: float, threshold: float
) -> Tensor:
    if s.dtype != torch.float64:
        return NotImplemented
    return gradient * torch.sigmoid(s * beta)


# Operations of which one argument may be a number, as those of two tensors.
PLAIN: Mapping[object, Callable[..., object]] = MappingProxyType(
    {
        operation: of_tensors.Tensor
        for of_tensors in (
            torch.ops.aten.add,
            torch.ops.aten.sub,
            torch.ops.aten.mul,
            torch.ops.aten.div,
        )
        for operation in (of_tensors.Tensor, of_tensors.Scalar)
    }
)
# What runtimes know in single precision alone, by what they know in double as well.
IN_DOUBLE_PRECISION: Operations = MappingProxyType(
    {
        torch.ops.aten.softplus.default: _double_softplus,
        torch.ops.aten.softplus_backward.default: _double_softplus_backward,
    }
)
