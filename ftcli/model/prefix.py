"""A network cut in two: the prefix, which depends on frozen tensors only, and the suffix, which does the rest."""

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

FLOAT32_HOLDS = (torch.float32, torch.bfloat16, torch.float16)  # every value of these formats
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}  # relative; more depends on other images

Forward = Callable[[nn.Module, Tensor], Tensor]  # (model, images) -> its features, or its logits


@dataclass(frozen=True)
class Layout:
    """Of a tensor [B, *shape] at the cut; `order`: its dimensions after the first, from slow to fast in memory."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, value: Tensor) -> "Layout":
        strides = value.stride()
        order = sorted(range(1, value.ndim), key=lambda i: (-strides[i], i))
        return cls(tuple(value.shape[1:]), tuple(order), value.dtype)

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    def to_rows(self, value: Tensor) -> Tensor:
        """[B, *shape] to float32 [B, width]."""
        return value.permute(0, *self.order).reshape(len(value), self.width).float()

    def from_rows(self, rows: Tensor) -> Tensor:
        """The inverse of `to_rows`, with the same order in memory: another one would select other kernels."""
        if len(self.shape) == 1 and rows.is_contiguous():  # nothing to lay out
            return rows.to(self.dtype)
        laid_out = rows.to(self.dtype).contiguous().view(len(rows), *(self.shape[i - 1] for i in self.order))
        return laid_out.permute(0, *(self.order.index(i) + 1 for i in range(1, len(self.order) + 1)))


class Prefix(nn.Module):
    """Images [B, C, H, W] to the tensors at the cut, as rows [B, D] float32."""

    def __init__(self, graph: fx.GraphModule, layouts: list[Layout]) -> None:
        super().__init__()
        self.graph, self.layouts = graph, layouts

    def forward(self, images: Tensor) -> Tensor:
        rows = [layout.to_rows(value) for layout, value in zip(self.layouts, self.graph(images), strict=True)]
        return rows[0] if len(rows) == 1 else torch.cat(rows, 1)


class Suffix(nn.Module):
    """Rows [B, D] of the tensors at the cut to what the whole network computes."""

    def __init__(self, graph: fx.GraphModule, layouts: list[Layout]) -> None:
        super().__init__()
        self.graph, self.layouts = graph, layouts

    def forward(self, rows: Tensor) -> Tensor:
        columns = rows.split([layout.width for layout in self.layouts], 1) if len(self.layouts) > 1 else (rows,)
        return self.graph(*(layout.from_rows(part) for layout, part in zip(self.layouts, columns, strict=True)))


@dataclass(frozen=True)
class CutNetwork:
    """Prefix and suffix, made of the model's own modules and parameters: to train the suffix is to train the model."""

    prefix: Prefix
    suffix: Suffix

    @property
    def width(self) -> int:
        """D: float32 numbers that the suffix needs of one image."""
        return sum(layout.width for layout in self.prefix.layouts)


def full_forward(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


def cut_network(
    model: nn.Module, tuned: Collection[str], images: Tensor, forward: Forward = full_forward
) -> CutNetwork | None:
    """Cut `forward(model, ·)`: the prefix is all that depends on no parameter in `tuned`, on nothing random and on no
    BatchNorm statistics that training updates, in the model's present mode.

    None where the prefix would have no weights, where the model cannot be traced, and where on `images` [B, C, H, W]
    (two or more) prefix and suffix do not give the bits of the whole network. Weights, buffers and random number
    generators stay as they are.
    """
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    if hooked or len(images) < 2:
        return None  # tracing skips hooks, and one image cannot show what depends on the others of a batch
    network = _Called(model, forward)
    try:
        traced = fx.GraphModule(network, _Tracer(type(model)).trace(network))
    except Exception:  # any line of a forward pass may fail on a symbol in the place of a value
        return None
    tuned_ids = {id(parameter) for name, parameter in model.named_parameters() if name in set(tuned)}
    with torch.no_grad(), _restoring(model, images.device):
        frozen_run = _FrozenRun(traced, network, tuned_ids, images.device)
        frozen_run.run(images)
        frozen_run.run(images[1:])
        cut = _cut(traced, frozen_run)
        return cut if cut and _agrees(cut, network, images) else None


class _Called(nn.Module):
    """A function of a model and images as a module, which can be traced."""

    def __init__(self, model: nn.Module, function: Forward) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.model, images)


class _Tracer(fx.Tracer):
    """Goes into every module but torch's own, normalisation, and those that timm knows to be untraceable."""

    proxy_buffer_attributes = True  # otherwise operations on buffers would run once, during tracing

    def __init__(self, family: type[nn.Module]) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self.thread = threading.get_ident()
        # fx finds these by itself only in the files of modules that are called, and `features` calls methods.
        self._autowrap_search += [sys.modules[base.__module__] for base in family.__mro__]

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """While it traces, torch sends the module calls of all threads here; those of other threads run as usual."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        untraceable = isinstance(m, _NormBase) or type(m) in get_notrace_modules()
        return untraceable or super().is_leaf_module(m, module_qualified_name)


class _FrozenRun(fx.Interpreter):
    """Runs the frozen nodes of a traced network on B images, and finds the others.

    live: nodes that depend on a tuned tensor, on random numbers or on BatchNorm statistics that training updates.
    of_images: frozen nodes that depend on the images.
    """

    def __init__(self, traced: fx.GraphModule, network: nn.Module, tuned: set[int], device: torch.device) -> None:
        super().__init__(traced)
        self.network, self.tuned, self.device = network, tuned, device
        self.live: set[fx.Node] = set()
        self.of_images: set[fx.Node] = set()
        self.seen_layouts: dict[fx.Node, set[Layout | None]] = {}

    def run(self, images: Tensor) -> None:  # type: ignore[override]
        self.B = len(images)
        super().run(images)

    def run_node(self, n: fx.Node) -> Any:
        """The value of a frozen node, its layout noted; None of a live one, which is not computed."""
        if n in self.live or n.op == "output" or self.live.intersection(n.all_input_nodes) or self.reads_live(n):
            self.live.add(n)
            return None
        before = _random_states(self.device)
        value = super().run_node(n)
        if not all(map(torch.equal, before, _random_states(self.device))):
            self.live.add(n)
            return None
        if n.op == "placeholder" or self.of_images.intersection(n.all_input_nodes):
            self.of_images.add(n)
            rows = isinstance(value, Tensor) and value.dtype in FLOAT32_HOLDS and value.shape[:1] == (self.B,)
            self.seen_layouts.setdefault(n, set()).add(Layout.of(value) if rows else None)
        return value

    @property
    def layouts(self) -> dict[fx.Node, Layout]:
        """The nodes that can be cut at: whatever the number of images, their values have a row for each."""
        return {node: layout for node, seen in self.seen_layouts.items() if len(seen) == 1 for layout in seen if layout}

    def reads_live(self, node: fx.Node) -> bool:
        """Whether a node reads parameters or buffers that training changes."""
        if node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            return any(id(p) in self.tuned for p in module.parameters()) or any(map(_updates_buffers, module.modules()))
        if node.op == "get_attr":
            path, _, name = str(node.target).rpartition(".")  # the graph's own copy of the module has no mode
            module = self.network.get_submodule(path)
            return id(getattr(module, name)) in self.tuned or (name in module._buffers and _updates_buffers(module))
        return False


def _updates_buffers(module: nn.Module) -> bool:
    """Whether a forward pass updates a module's buffers in its present mode; those of timm's layers are constants."""
    foreign = type(module).__module__.split(".")[0] != "timm"
    return module.training and any(True for _ in module.buffers(False)) and (isinstance(module, _NormBase) or foreign)


def _cut(traced: fx.GraphModule, frozen_run: _FrozenRun) -> CutNetwork | None:
    """Prefix and suffix. The cut is at the frozen nodes that live nodes read; those without a row for each image, such
    as a size, are computed again in the suffix.
    """
    nodes, layouts = list(traced.graph.nodes), frozen_run.layouts
    cut: set[fx.Node] = set()
    in_suffix = set(frozen_run.live)
    for node in reversed(nodes):
        if node in in_suffix:
            for source in set(node.all_input_nodes) - frozen_run.live:
                (cut if source in layouts else in_suffix).add(source)
    for node in reversed(nodes):  # what follows from other nodes at the cut without weights is not stored
        if node in cut and frozen_run.of_images.intersection(node.all_input_nodes) <= cut and not _weighs(traced, node):
            cut.remove(node)
            in_suffix.update({node, *node.all_input_nodes} - cut)
    in_prefix = set(cut)
    for node in reversed(nodes):
        if node in in_prefix:
            in_prefix.update(node.all_input_nodes)
    ends = [node for node in nodes if node in cut]
    prefix = _graph(traced, [node for node in nodes if node in in_prefix], inputs=[], outputs=ends)
    if any(node.op == "placeholder" for node in ends) or not any(True for _ in prefix.parameters()):
        return None
    suffix = _graph(traced, [node for node in nodes if node in in_suffix], inputs=ends, outputs=None)
    stored = [layouts[node] for node in ends]
    return CutNetwork(Prefix(prefix, stored), Suffix(suffix, stored))


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
def _restoring(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Afterwards buffers and random number generators are what they were."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, value in buffers:
            buffer.copy_(value)


def _random_states(device: torch.device) -> list[Tensor]:
    """The states of the generators that a network on this device draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _agrees(cut: CutNetwork, network: nn.Module, images: Tensor) -> bool:
    """Whether prefix and suffix give the bits of the network, and each image's row depends on that image alone."""
    rows = cut.prefix(images)
    torch.manual_seed(0)
    expected = network(images)
    torch.manual_seed(0)
    outputs = cut.suffix(rows)
    difference = (cut.prefix(images[1:]) - rows[1:]).abs().max()
    allowed = max(ROUNDING[layout.dtype] for layout in cut.prefix.layouts) * rows.abs().max()
    return outputs.equal(expected) and bool(difference <= allowed)
