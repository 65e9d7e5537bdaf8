"""A network cut in two: what its frozen tensors alone make of an image, and what the rest makes of that."""

import math
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase

KEPT_AS_FLOAT32 = (torch.float32, torch.bfloat16, torch.float16)  # float32 holds every value of these
MIXED = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}  # relative: more is not rounding

Forward = Callable[[nn.Module, Tensor], Tensor]  # one way through a model


@dataclass(frozen=True)
class Form:
    """One tensor [B, *shape] of the cut; `order`: its dimensions after the first, from slow to fast in memory."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, value: Tensor) -> "Form":
        strides = value.stride()
        order = sorted(range(1, value.ndim), key=lambda i: (-strides[i], i))
        return cls(tuple(value.shape[1:]), tuple(order), value.dtype)

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    def rows(self, value: Tensor) -> Tensor:
        """[B, *shape] to float32 [B, width]."""
        return value.permute(0, *self.order).reshape(len(value), self.width).float()

    def value(self, rows: Tensor) -> Tensor:
        """Back again, with the same order in memory: another one would make other kernels run."""
        if len(self.shape) == 1 and rows.is_contiguous():  # nothing to lay out
            return rows.to(self.dtype)
        laid_out = rows.to(self.dtype).contiguous().view(len(rows), *(self.shape[i - 1] for i in self.order))
        return laid_out.permute(0, *(self.order.index(i) + 1 for i in range(1, len(self.order) + 1)))


class Prefix(nn.Module):
    """Images [B, C, H, W] to the cut as rows [B, D] float32."""

    def __init__(self, graph: fx.GraphModule, forms: list[Form]) -> None:
        super().__init__()
        self.graph, self.forms = graph, forms

    def forward(self, images: Tensor) -> Tensor:
        parts = [form.rows(value) for form, value in zip(self.forms, self.graph(images), strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Suffix(nn.Module):
    """Rows [B, D] of the cut to what the network gives."""

    def __init__(self, graph: fx.GraphModule, forms: list[Form]) -> None:
        super().__init__()
        self.graph, self.forms = graph, forms

    def forward(self, rows: Tensor) -> Tensor:
        parts = rows.split([form.width for form in self.forms], 1) if len(self.forms) > 1 else (rows,)
        return self.graph(*(form.value(part) for form, part in zip(self.forms, parts, strict=True)))


@dataclass(frozen=True)
class Split:
    """Both parts, made of the model's own modules and parameters: to train the suffix is to train the model."""

    prefix: Prefix
    suffix: Suffix

    @property
    def width(self) -> int:
        """D: float32 numbers that the suffix needs of one image."""
        return sum(form.width for form in self.prefix.forms)


def whole(model: nn.Module, images: Tensor) -> Tensor:
    """The way through a model that its `forward` takes."""
    return model(images)


def split(model: nn.Module, tuned: Collection[str], images: Tensor, forward: Forward = whole) -> Split | None:
    """Cut `forward(model, ·)` behind all that depends on no parameter in `tuned`, on nothing random and on no BatchNorm
    statistics that move, in the mode in which the model is now.

    None where nothing is left in front of the cut, where the model cannot be traced, and where on `images` [B, C, H, W]
    (two or more) the two parts do not give the very bits of the whole. Weights, buffers and random numbers stay as they
    are.
    """
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    if hooked or len(images) < 2:
        return None  # tracing would pass hooks by, and of one image nobody can tell what depends on its neighbours
    network = _Called(model, forward)
    try:
        traced = fx.GraphModule(network, _Tracer(type(model)).trace(network))
    except Exception:  # any line of a forward may fail on a value that is only a symbol
        return None
    wanted = {id(parameter) for name, parameter in model.named_parameters() if name in set(tuned)}
    with torch.no_grad(), _as_before(model, images.device):
        probe = _Probe(traced, network, wanted, images.device)
        probe.run(images)
        probe.run(images[1:])
        parts = _parts(traced, probe)
        return parts if parts and _agrees(parts, network, images) else None


class _Called(nn.Module):
    """One way through a model, as a module of its own."""

    def __init__(self, model: nn.Module, way: Forward) -> None:
        super().__init__()
        self.model, self.way = model, way

    def forward(self, images: Tensor) -> Tensor:
        return self.way(self.model, images)


class _Tracer(fx.Tracer):
    """Goes into every module but torch's own, normalisation, and those that timm knows to be untraceable."""

    proxy_buffer_attributes = True  # else what is done to a buffer would be done once, now

    def __init__(self, family: type[nn.Module]) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self.thread = threading.get_ident()
        # Found by themselves only in the files of modules that are called: a way may begin at a method.
        self._autowrap_search += [sys.modules[one.__module__] for one in family.__mro__]

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """While it traces, torch leads the calls of every module of the process here: other threads' go on as ever."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        untraceable = isinstance(m, _NormBase) or type(m) in get_notrace_modules()
        return untraceable or super().is_leaf_module(m, module_qualified_name)


class _Probe(fx.Interpreter):
    """Runs what is frozen on B images, and finds out what is not.

    `live`: nodes that depend on a tuned tensor, on chance or on moving statistics. `seen`: frozen nodes that depend on
    the images.
    """

    def __init__(self, traced: fx.GraphModule, network: nn.Module, tuned: set[int], device: torch.device) -> None:
        super().__init__(traced)
        self.network, self.tuned, self.device = network, tuned, device
        self.live: set[fx.Node] = set()
        self.seen: set[fx.Node] = set()
        self.found: dict[fx.Node, set[Form | None]] = {}

    def run(self, images: Tensor) -> None:  # type: ignore[override]
        self.B = len(images)
        super().run(images)

    def run_node(self, n: fx.Node) -> Any:
        """The value of a frozen node, its form noted; None of a live one, which is not computed."""
        if n in self.live or n.op == "output" or self.live.intersection(n.all_input_nodes) or self.moves(n):
            self.live.add(n)
            return None
        before = _chance(self.device)
        value = super().run_node(n)
        if not all(map(torch.equal, before, _chance(self.device))):
            self.live.add(n)
            return None
        if n.op == "placeholder" or self.seen.intersection(n.all_input_nodes):
            self.seen.add(n)
            rows = isinstance(value, Tensor) and value.dtype in KEPT_AS_FLOAT32 and value.shape[:1] == (self.B,)
            self.found.setdefault(n, set()).add(Form.of(value) if rows else None)
        return value

    @property
    def forms(self) -> dict[fx.Node, Form]:
        """The nodes that can be cut at: whatever the number of images, their values have a row for each."""
        return {node: form for node, found in self.found.items() if len(found) == 1 for form in found if form}

    def moves(self, node: fx.Node) -> bool:
        """Whether a node reads tensors that training changes."""
        if node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            return any(id(p) in self.tuned for p in module.parameters()) or any(map(_follows, module.modules()))
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")  # a graph's own copy of the owner has no mode
            holder = self.network.get_submodule(owner)
            return id(getattr(holder, name)) in self.tuned or (name in holder._buffers and _follows(holder))
        return False


def _follows(module: nn.Module) -> bool:
    """Whether a module's buffers follow the images in the mode of now; those of timm's other layers are constants."""
    foreign = type(module).__module__.split(".")[0] != "timm"
    return module.training and any(True for _ in module.buffers(False)) and (isinstance(module, _NormBase) or foreign)


def _parts(traced: fx.GraphModule, probe: _Probe) -> Split | None:
    """The two parts. What the live nodes read of the frozen ones is the cut; what of it has no row for each image, such
    as a size, is computed again behind it.
    """
    nodes, forms = list(traced.graph.nodes), probe.forms
    cut: set[fx.Node] = set()
    behind = set(probe.live)
    for node in reversed(nodes):
        if node in behind:
            for source in set(node.all_input_nodes) - probe.live:
                (cut if source in forms else behind).add(source)
    for node in reversed(nodes):  # nothing is kept that takes no weights to make of what is kept beside it
        if node in cut and probe.seen.intersection(node.all_input_nodes) <= cut and not _weighs(traced, node):
            cut.remove(node)
            behind.update({node, *node.all_input_nodes} - cut)
    before = set(cut)
    for node in reversed(nodes):
        if node in before:
            before.update(node.all_input_nodes)
    ends = [node for node in nodes if node in cut]
    prefix = _graph(traced, [node for node in nodes if node in before], inputs=[], outputs=ends)
    if any(node.op == "placeholder" for node in ends) or not any(True for _ in prefix.parameters()):
        return None
    suffix = _graph(traced, [node for node in nodes if node in behind], inputs=ends, outputs=None)
    found = [forms[node] for node in ends]
    return Split(Prefix(prefix, found), Suffix(suffix, found))


def _weighs(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node reads parameters or buffers of its own."""
    if node.op == "call_module":
        return bool(traced.get_submodule(str(node.target)).state_dict())
    return any(source.op == "get_attr" for source in node.all_input_nodes)


def _graph(
    traced: fx.GraphModule, nodes: list[fx.Node], inputs: list[fx.Node], outputs: list[fx.Node] | None
) -> fx.GraphModule:
    """Some nodes as a network of its own, which shares the modules; without `outputs`, its own output is among them."""
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"cut_{i}") for i, node in enumerate(inputs)}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    if outputs is not None:
        graph.output(tuple(copies[node] for node in outputs))
    return fx.GraphModule(traced, graph)


@contextmanager
def _as_before(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Afterwards the buffers and the state of chance are what they were."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, value in buffers:
            buffer.copy_(value)


def _chance(device: torch.device) -> list[Tensor]:
    """The states of the generators that a network on this device draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _agrees(parts: Split, network: nn.Module, images: Tensor) -> bool:
    """Whether the parts give the bits of the whole, and the prefix looks at each image by itself."""
    rows = parts.prefix(images)
    torch.manual_seed(0)
    expected = network(images)
    torch.manual_seed(0)
    got = parts.suffix(rows)
    apart = (parts.prefix(images[1:]) - rows[1:]).abs().max()
    allowed = max(MIXED[form.dtype] for form in parts.prefix.forms) * rows.abs().max()
    return got.equal(expected) and bool(apart <= allowed)
