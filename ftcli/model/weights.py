"""Arithmetic on the weights of models: distance of two, interpolation between two, mean of several."""

from collections.abc import Mapping, Sequence

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

    At 0 and 1 the very bits of A and of B, and everywhere of a tensor that both share. Both have the same names and
    shapes.
    """
    if weight in (0, 1):
        return {name: (B[name] if weight and a.is_floating_point() else a).clone() for name, a in A.items()}
    return {
        name: a.clone() if a is B[name] or not a.is_floating_point() else (1 - weight) * a + weight * B[name]
        for name, a in A.items()
    }


def mean_weights(states: Sequence[State]) -> dict[str, Tensor]:
    """The uniform soup (Wortsman et al. 2022, arXiv 2203.05482): the mean of every floating tensor, in float64."""
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def mismatched_tensors(A: State, B: State) -> list[str]:
    """Names that only one of the two has, or that differ in shape."""
    return [name for name in {**A, **B} if name not in A or name not in B or A[name].shape != B[name].shape]
