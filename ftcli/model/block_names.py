"""Which blocks of a model a word names: a place, a number, a name or a range (Lee et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from ftcli.errors import RequestError, choose
from ftcli.model.blocks import Block, blocks_of

PLACES = ("embed", "first", "middle", "last", "head", "all", "none")


@dataclass(frozen=True)
class ChoosableBlocks:
    """The blocks of a model in order: L of the body, from the input on, and the head."""

    body: tuple[Block, ...]
    head: Block

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (*self.body, self.head)

    def chosen(self, choice: str) -> tuple[Block, ...]:
        """The blocks that a choice names, in order.

        `embed` is block 0, `first` blocks 0 and 1 (a stem and its first stage), `middle` block L // 2, `last` block
        L - 1, `head` the classifier, `all` everything, `none` nothing; else a number, a block's name, or A..B with both
        ends. Raises RequestError for a block that is not there and for a range that holds none.
        """
        L = len(self.body)
        places = {
            "embed": self.body[:1], "first": self.body[:2], "middle": self.body[L // 2 : L // 2 + 1],
            "last": self.body[-1:], "head": (self.head,), "all": self.blocks, "none": (),
        }  # fmt: skip
        if choice in places:
            return places[choice]
        if ".." not in choice or choice in (block.name for block in self.blocks):
            return (self.blocks[self.index(choice, choice)],)
        low, _, high = choice.partition("..")
        ends = self.index(low, choice), self.index(high, choice)
        if ends[0] > ends[1]:
            raise RequestError(f"--blocks {choice}: no block lies between {low} and {high}.", f"write {high}..{low}")
        return self.blocks[ends[0] : ends[1] + 1]

    def index(self, end: str, choice: str) -> int:
        """Position of the block that a number, a name or a place of one block says; the head is the last."""
        names = [block.name for block in self.blocks]
        places = {"embed": 0, "middle": len(self.body) // 2, "last": len(self.body) - 1, "head": len(self.body)}
        if end in places:
            return places[end]
        if end in names:
            return names.index(end)
        if end.isdecimal() and int(end) < len(self.body):
            return int(end)
        raise RequestError(
            f"--blocks {choice}: there is no block {end!r}; the blocks are 0 to {len(self.body) - 1}, or by name "
            + ", ".join(names),
            choose(end, (*PLACES, *names)) if end else "write both ends of a range, as 0..2",
        )

    def each(self) -> list[str]:
        """One choice per block: `first` for blocks 0 and 1, the others by name (by number where a place is called so),
        and `head`.
        """
        others = list(enumerate(self.body))[2:]
        return ["first", *(str(i) if block.name in PLACES else block.name for i, block in others), "head"]


def choosable_blocks_of(model: nn.Module, merge: int | None = None) -> ChoosableBlocks:
    """The blocks of a model; with `merge`, its body joined into so many groups.

    Raises RequestError where the body has fewer blocks than groups are asked for.
    """
    body, head = blocks_of(model)
    if merge is None:
        return ChoosableBlocks(tuple(body), head)
    if merge > len(body):
        raise RequestError(
            f"--merge {merge}: {type(model).__name__} has {len(body)} blocks.", f"--merge {len(body)} or less"
        )
    return ChoosableBlocks(
        tuple(joined(body[begin:end]) for begin, end in pairwise(groups([b.parameters for b in body], merge))), head
    )


def joined(blocks: Sequence[Block]) -> Block:
    """Neighbours as one block, named by its first and last."""
    if len(blocks) == 1:
        return blocks[0]
    tensors = tuple(name for block in blocks for name in block.tensors)
    return Block(f"{blocks[0].name}..{blocks[-1].name}", tensors, sum(block.parameters for block in blocks))


def groups(sizes: Sequence[int], k: int) -> list[int]:
    """Bounds [k + 1] that cut `sizes` into k contiguous groups, none empty, with the least Σ (group's sum)².

    That sum is least where the groups are as equal as can be; of equally good cuts the one whose first groups are
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
