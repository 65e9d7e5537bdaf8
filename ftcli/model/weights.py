"""Arithmetic on the weights of models: distance of two, interpolation between two, averages of several."""

from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from ftcli.model.blocks import Block, blocks_of

State = Mapping[str, Tensor]


def parameter_distances(
    before: nn.Module, after: nn.Module, *, heads: bool = True
) -> tuple[dict[str, dict[str, float | None]], list[str]]:
    """{block: {"l2": ‖θ_B - θ_A‖₂, "relative": that over ‖θ_A‖₂}, …, "total": …}, of parameters alone, no buffers; and
    the names of blocks left out because their shapes differ. `relative` is None where θ_A is 0. `heads` False: the head
    is left out.
    """
    A, B = dict(before.named_parameters()), dict(after.named_parameters())
    body, head = blocks_of(before)
    distances, left_out = {}, []
    total = torch.zeros(2, dtype=torch.float64)
    for block in [*body, head]:
        if (block is head and not heads) or any(
            name not in B or A[name].shape != B[name].shape for name in block.tensors
        ):
            left_out.append(block.name)
            continue
        squares = squares_of(block, A, B)
        total += squares
        distances[block.name] = distance_of(squares)
    return distances | {"total": distance_of(total)}, left_out


def squares_of(block: Block, A: State, B: State) -> Tensor:
    """‖θ_B - θ_A‖² and ‖θ_A‖² of one block, float64 [2]."""
    pairs = [(A[name].detach().double().cpu(), B[name].detach().double().cpu()) for name in block.tensors]
    return torch.stack([torch.stack([(b - a).square().sum(), a.square().sum()]) for a, b in pairs]).sum(0)


def distance_of(squares: Tensor) -> dict[str, float | None]:
    moved, size = squares.sqrt().tolist()
    return {"l2": moved, "relative": moved / size if size else None}


def interpolate_weights(A: State, B: State, weight: float) -> dict[str, Tensor]:
    """(1 - λ)θ_A + λθ_B of every floating tensor, λ being `weight`; others, such as batch counters, from A.

    At 0 and 1 the very bits of A and of B, and everywhere of a tensor that is equal in both. Both have the same names
    and shapes.
    """
    return {name: interpolate_tensors(a, B[name], weight) for name, a in A.items()}


def interpolate_tensors(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """(1 - λ)a + λb in memory of its own; `a` where it is not floating."""
    if weight == 1 and a.is_floating_point():
        return b.clone()
    if weight == 0 or not a.is_floating_point() or torch.equal(a, b):
        return a.clone()
    return (1 - weight) * a + weight * b


def scale_by_depth(A: State, B: State, shares: Mapping[str, float]) -> dict[str, Tensor]:
    """θ_A + s_b(θ_B - θ_A) of every floating tensor of block b; those without a share in `shares` from B."""
    return {
        name: interpolate_tensors(a, B[name], shares.get(name, 1.0)) if a.is_floating_point() else B[name].clone()
        for name, a in A.items()
    }


def depth_shares(model: nn.Module, strength: float) -> dict[str, float]:
    """LiNeS (Wang et al. 2024, arXiv 2410.17146): s_b = α + (1 - α)·b/(L - 1) of the tensors of block b of L.

    `strength` is α. One block alone has s = 1. The head is not in it. A buffer goes with the parameters that are
    nearest to it in the tree of modules.
    """
    body, head = blocks_of(model)
    L = len(body)
    shares = {
        name: strength + (1 - strength) * i / (L - 1) if L > 1 else 1.0
        for i, block in enumerate(body)
        for name in block.tensors
    }
    every = shares | dict.fromkeys(head.tensors, 1.0)
    for name, tensor in model.state_dict().items():
        if name not in every and tensor.is_floating_point():
            shares[name] = every[max(every, key=lambda other: shared_depth(name, other))]
    return shares


def shared_depth(one: str, other: str) -> int:
    """How many modules two tensors have in common, from the network down."""
    pairs = zip(one.split("."), other.split("."), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def mean_weights(states: Sequence[State]) -> dict[str, Tensor]:
    """The uniform soup (Wortsman et al. 2022, arXiv 2203.05482): the mean of every floating tensor, in float64.

    One tensor of one state is read at a time, so the states may lie in files.
    """
    return {
        name: mean_of(name, states).to(states[0][name].dtype)
        if states[0][name].is_floating_point()
        else states[0][name].clone()
        for name in states[0]
    }


def mean_of(name: str, states: Sequence[State]) -> Tensor:
    """The mean of one tensor over some states, float64."""
    total = states[0][name].to(torch.float64, copy=True)
    for state in states[1:]:
        total += state[name].double()
    return total / len(states)


def stock_weights(start: State, states: Sequence[State], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Model Stock (Jang et al. 2024, arXiv 2403.19522), tensor by tensor: t·mean(θ_i) + (1 - t)·θ⁰, in float64.

    start: θ⁰. shares: t by tensor; where it has none, as of buffers, t is 1. One tensor of one state is read at a time.
    """
    averaged = {}
    for name, tensor in start.items():
        if tensor.is_floating_point():
            t = shares.get(name, 1.0)
            averaged[name] = (t * mean_of(name, states) + (1 - t) * tensor.double()).to(tensor.dtype)
        else:
            averaged[name] = states[0][name].clone()
    return averaged


def stock_shares(start: State, states: Sequence[State], names: Collection[str]) -> dict[str, float]:
    """The share t of the mean in Model Stock, of each of these tensors.

    With δ_i = θ_i - θ⁰ of N ≥ 2 states, t = N·c / (1 + (N - 1)·c), c the mean cosine between two of them, and t is
    clipped to [0, 1]: where c is below 0 it would be negative, or without bound. t = 1 where a state did not move.
    """
    return {
        name: stock_share(start[name].double(), name, states) if start[name].is_floating_point() else 1.0
        for name in start
        if name in names
    }


def stock_share(start: Tensor, name: str, states: Sequence[State]) -> float:
    """The share t of the mean of one tensor in Model Stock. start: of θ⁰, float64."""
    N, total = len(states), torch.zeros_like(start)
    for state in states:
        delta = state[name].double() - start
        length = delta.norm().item()
        if not length:
            return 1.0
        total += delta / length
    # ‖Σ u_i‖² of unit vectors is N plus twice the sum of the cosines over pairs.
    cosine = (total.square().sum().item() - N) / (N * (N - 1))
    return min(1.0, N * cosine / (1 + (N - 1) * cosine)) if cosine > 0 else 0.0


def mismatched_tensors(A: State, B: State) -> list[str]:
    """Names that only one of the two has, or that differ in shape."""
    return [name for name in {**A, **B} if name not in A or name not in B or A[name].shape != B[name].shape]
