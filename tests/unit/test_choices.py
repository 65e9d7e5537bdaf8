"""Every word for a choice of blocks, on several families; merging against every possible cut."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from torch import nn

from ftcli.errors import RequestError
from ftcli.model.block_names import ModelBlocks, balanced_bounds, model_blocks
from ftcli.model.blocks import Block, blocks_of
from tests.helpers.tiny import SIX, tiny
from tests.unit.test_blocks import bare, one_per_family

RESNET = ("stem", "layer1", "layer2", "layer3", "layer4", "fc")
TABLE: list[tuple[str, tuple[str, ...]]] = [  # a choice, and the children of test_resnet whose tensors it names
    ("embed", ("conv1", "bn1")),
    ("first", ("conv1", "bn1", "layer1")),
    ("middle", ("layer2",)),
    ("last", ("layer4",)),
    ("head", ("fc",)),
    ("all", ("conv1", "bn1", *RESNET[1:])),
    ("none", ()),
    ("0", ("conv1", "bn1")),
    ("3", ("layer3",)),
    ("layer3", ("layer3",)),
    ("stem", ("conv1", "bn1")),
    ("fc", ("fc",)),
    ("1..3", ("layer1", "layer2", "layer3")),
    ("0..0", ("conv1", "bn1")),
    ("layer2..layer4", ("layer2", "layer3", "layer4")),
    ("2..layer3", ("layer2", "layer3")),
    ("stem..1", ("conv1", "bn1", "layer1")),
    ("layer4..head", ("layer4", "fc")),
]


def names_of(blocks: tuple[Block, ...]) -> list[str]:
    return [block.name for block in blocks]


def tensors_of(blocks: tuple[Block, ...]) -> list[str]:
    return [name for block in blocks for name in block.tensors]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return tiny("test_resnet")


@pytest.mark.parametrize(("choice", "children"), TABLE, ids=str)
def test_a_resnet(resnet: nn.Module, choice: str, children: tuple[str, ...]) -> None:
    expected = [name for name, _ in resnet.named_parameters() if name.split(".")[0] in children]
    chosen = model_blocks(resnet).select(choice)
    assert sorted(tensors_of(chosen)) == sorted(expected)
    assert [name for name in RESNET if name in names_of(chosen)] == names_of(chosen)


@pytest.mark.parametrize("name", SIX)
def test_places_of_every_family(name: str) -> None:
    model = tiny(name)
    body, head = blocks_of(model)
    anatomy, L = model_blocks(model), len(body)
    places = {
        "embed": [body[0]], "first": [body[0], body[1]], "middle": [body[L // 2]], "last": [body[L - 1]],
        "head": [head], "all": [*body, head], "none": [],
    }  # fmt: skip
    for place, blocks in places.items():
        assert list(anatomy.select(place)) == blocks
    for i, block in enumerate(body):
        assert anatomy.select(str(i)) == anatomy.select(block.name) == (block,)
        for j in range(i, L):
            expected = tuple(body[i : j + 1])
            assert anatomy.select(f"{i}..{j}") == anatomy.select(f"{block.name}..{body[j].name}") == expected


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("merge", [None, 1, 2, 4])
def test_each_is_every_block_once(name: str, merge: int | None) -> None:
    anatomy = model_blocks(tiny(name), merge)
    words = anatomy.each()
    assert words[0] == "first" and words[-1] == "head" and len(set(words)) == len(words)
    assert words[1:-1] == names_of(anatomy.body[2:])
    assert tuple(block for word in words for block in anatomy.select(word)) == anatomy.blocks


def test_each_reaches_every_block_of_every_family() -> None:
    """Some families call a part of the body `head`: the word means the classifier, and the part is tried too."""
    places = {"embed", "first", "middle", "last", "head", "all", "none"}
    for names in one_per_family():
        if (model := bare(names)) is None:
            continue
        anatomy = model_blocks(model)
        for number, block in enumerate(anatomy.body):
            assert "," not in block.name and anatomy.select(str(number)) == (block,), names
            assert block.name in places or anatomy.select(block.name) == (block,), names
        assert anatomy.select("head") == (anatomy.head,), names
        words = anatomy.each()
        assert len(set(words)) == len(words), (names, words)
        assert tuple(block for word in words for block in anatomy.select(word)) == anatomy.blocks, names


def cost(sizes: list[int], bounds: list[int]) -> int:
    return sum(sum(sizes[begin:end]) ** 2 for begin, end in pairwise(bounds))


@pytest.mark.parametrize("seed", range(25))
def test_merging_against_every_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(10 ** rng.uniform(0, 6)) for _ in range(int(rng.integers(1, 10)))]
    for k in range(1, len(sizes) + 1):
        cuts = [[0, *inner, len(sizes)] for inner in combinations(range(1, len(sizes)), k - 1)]
        bounds = balanced_bounds(sizes, k)
        assert bounds in cuts  # k groups, contiguous, none empty
        assert cost(sizes, bounds) == min(cost(sizes, cut) for cut in cuts)


def test_of_equal_cuts_the_first_groups_are_shorter() -> None:
    assert balanced_bounds([1, 1, 1], 2) == [0, 1, 3]
    assert balanced_bounds([2, 2, 2, 2], 3) == [0, 1, 2, 4]


@pytest.mark.parametrize("name", SIX)
def test_merged_blocks_of_every_family(name: str) -> None:
    model = tiny(name)
    body, head = blocks_of(model)
    for k in range(1, len(body) + 1):
        anatomy = model_blocks(model, k)
        assert len(anatomy.body) == k and anatomy.head == head
        assert tensors_of(anatomy.body) == tensors_of(tuple(body))  # in order, each once
        sizes = [block.parameters for block in body]
        cuts = [[0, *inner, len(body)] for inner in combinations(range(1, len(body)), k - 1)]
        assert sum(block.parameters**2 for block in anatomy.body) == min(cost(sizes, cut) for cut in cuts)
        parameters = dict(model.named_parameters())
        for i, block in enumerate(anatomy.body):
            assert block.parameters == sum(parameters[tensor].numel() for tensor in block.tensors)
            assert anatomy.select(str(i)) == anatomy.select(block.name) == (block,)
        assert anatomy.select("first") == anatomy.body[:2] and anatomy.select("last") == anatomy.body[-1:]
        assert anatomy.select("middle") == (anatomy.body[k // 2],)
        if k == len(body):
            assert anatomy == model_blocks(model)


def test_places_and_numbers_are_those_of_the_merged_blocks(resnet: nn.Module) -> None:
    anatomy = model_blocks(resnet, 2)
    assert tensors_of(anatomy.select("embed") + anatomy.select("1")) == tensors_of(anatomy.body)
    with pytest.raises(RequestError, match="'2'"):
        anatomy.select("2")


def refused(anatomy: ModelBlocks, choice: str) -> RequestError:
    with pytest.raises(RequestError) as refusal:
        anatomy.select(choice)
    assert choice in refusal.value.problem and refusal.value.fix
    return refusal.value


@pytest.mark.parametrize(
    "choice", ["layer9", "5", "17", "-1", "1.5", "", "All", "..", "1..", "..3", "0..9", "9..10", "1..layer7", "1...3"]
)
def test_a_block_that_is_not_there(resnet: nn.Module, choice: str) -> None:
    problem = refused(model_blocks(resnet), choice).problem
    assert all(name in problem for name in RESNET)  # what there is


def test_a_typing_error_gets_the_right_word(resnet: nn.Module) -> None:
    anatomy = model_blocks(resnet)
    for typed, meant in {"layer22": "layer2", "haed": "head", "midle": "middle", "layr3": "layer3"}.items():
        assert meant in refused(anatomy, typed).fix


@pytest.mark.parametrize("choice", ["3..1", "layer3..layer1", "4..0", "head..stem", "last..1"])
def test_an_empty_range(resnet: nn.Module, choice: str) -> None:
    low, _, high = choice.partition("..")
    anatomy = model_blocks(resnet)
    assert f"{high}..{low}" in refused(anatomy, choice).fix
    assert anatomy.select(f"{high}..{low}")  # what it says to type is a choice


@pytest.mark.parametrize("merge", [6, 100])
def test_more_groups_than_blocks(resnet: nn.Module, merge: int) -> None:
    with pytest.raises(RequestError, match=f"--merge {merge}") as refusal:
        model_blocks(resnet, merge)
    assert "5" in refusal.value.problem and "--merge 5" in refusal.value.fix
