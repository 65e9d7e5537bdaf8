"""Which blocks of a model a choice of --blocks names: a position, a number, a name or a range (Lee et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from ftcli.errors import RequestError, choose
from ftcli.model.blocks import Block, blocks_of

POSITIONS = ("embed", "first", "middle", "last", "head", "all", "none")


@dataclass(frozen=True)
class ModelBlocks:
    """The blocks of a model in order: L of the body, from the input on, and the head."""

    body: tuple[Block, ...]
    head: Block

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (*self.body, self.head)

    def select(self, choice: str) -> tuple[Block, ...]:
        """The blocks that a choice names, in order.

        `embed` is block 0, `first` blocks 0 and 1 (a stem and its first stage), `middle` block L // 2, `last` block
        L - 1, `head` the classifier, `all` everything, `none` nothing; else a number, a block's name, or A..B with both
        ends. Raises RequestError for a block that is not there and for an empty range.
        """
        L = len(self.body)
        positions = {
            "embed": self.body[:1], "first": self.body[:2], "middle": self.body[L // 2 : L // 2 + 1],
            "last": self.body[-1:], "head": (self.head,), "all": self.blocks, "none": (),
        }  # fmt: skip
        if choice in positions:
            return positions[choice]
        if ".." not in choice or choice in (block.name for block in self.blocks):
            return (self.blocks[self.index(choice, choice)],)
        low, _, high = choice.partition("..")
        first, last = self.index(low, choice), self.index(high, choice)
        if first > last:
            raise RequestError(f"--blocks {choice}: no block lies between {low} and {high}.", f"write {high}..{low}")
        return self.blocks[first : last + 1]

    def index(self, block: str, choice: str) -> int:
        """Index of a block given by number, by name or by a position of one block; the head is the last. `choice` is
        what --blocks has, for the message.
        """
        names = [block.name for block in self.blocks]
        positions = {"embed": 0, "middle": len(self.body) // 2, "last": len(self.body) - 1, "head": len(self.body)}
        if block in positions:
            return positions[block]
        if block in names:
            return names.index(block)
        if block.isdecimal() and int(block) < len(self.body):
            return int(block)
        raise RequestError(
            f"--blocks {choice}: there is no block {block!r}; the blocks are 0 to {len(self.body) - 1}, or by name "
            + ", ".join(names),
            choose(block, (*POSITIONS, *names)) if block else "write both ends of a range, as 0..2",
        )

    def each(self) -> list[str]:
        """The choices of `--blocks each`: `first` for blocks 0 and 1, every other block by name (by number where a
        position has that name), and `head`.
        """
        others = list(enumerate(self.body))[2:]
        return ["first", *(str(i) if block.name in POSITIONS else block.name for i, block in others), "head"]


def model_blocks(model: nn.Module, merge: int | None = None) -> ModelBlocks:
    """The blocks of a model; with `merge`, its body merged into so many blocks.

    Raises RequestError where the body has fewer blocks than that.
    """
    body, head = blocks_of(model)
    if merge is None:
        return ModelBlocks(tuple(body), head)
    if merge > len(body):
        raise RequestError(
            f"--merge {merge}: {type(model).__name__} has {len(body)} blocks.", f"--merge {len(body)} or less"
        )
    bounds = balanced_bounds([block.parameters for block in body], merge)
    return ModelBlocks(tuple(merged(body[begin:end]) for begin, end in pairwise(bounds)), head)


def merged(blocks: Sequence[Block]) -> Block:
    """Neighbours as one block, named by its first and last."""
    if len(blocks) == 1:
        return blocks[0]
    tensors = tuple(name for block in blocks for name in block.tensors)
    return Block(f"{blocks[0].name}..{blocks[-1].name}", tensors, sum(block.parameters for block in blocks))


def balanced_bounds(sizes: Sequence[int], k: int) -> list[int]:
    """Bounds [k + 1] of k contiguous groups of `sizes`, none empty, with the least Σ (group's sum)².

    That sum is least where the groups are as equal as can be; of equally good bounds those whose first groups are
    shorter.
    """
    n, before = len(sizes), [0]
    for size in sizes:
        before.append(before[-1] + size)
    best: list[dict[int, tuple[int, list[int]]]] = [{0: (0, [0])}]  # by number of groups: end -> (cost, bounds)
    for group in range(1, k + 1):
        best.append({
            end: min(
                (cost + (before[end] - before[start]) ** 2, [*bounds, end])
                for start, (cost, bounds) in best[-1].items()
                if start < end
            )
            for end in range(group, n - (k - group) + 1)
        })  # fmt: skip
    return best[k][n][1]
