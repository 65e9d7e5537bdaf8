"""The two parts of a network: the bits of the whole, its own tensors, and no gradient in front of what trains."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from ftcli.model.block_names import model_blocks
from ftcli.model.head import features
from ftcli.model.prefix import CutNetwork, cut_network
from ftcli.model.trainable import freeze_all_but, training_mode
from tests.helpers.tiny import SIDE, SIX, images, tiny


def prepared(name: str, choice: str, bn: str) -> tuple[nn.Module, list[str]]:
    """A tiny network in the mode in which a choice trains, and the tensors of the choice."""
    model = tiny(name).to(memory_format=torch.channels_last)
    tuned = [tensor for block in model_blocks(model).select(choice) for tensor in block.tensors]
    freeze_all_but(model, tuned)
    training_mode(model, bn)
    return model, tuned


def pictures(n: int) -> Tensor:
    return images(n).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("choice", "bn"), [("middle", "train"), ("last", "eval"), ("head", "train")])
@pytest.mark.parametrize("name", SIX)
def test_parts_give_the_bits_of_the_whole(name: str, choice: str, bn: str) -> None:
    model, tuned = prepared(name, choice, bn)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes, chance = [module.training for module in model.modules()], torch.get_rng_state()
    parts = cut_network(model, tuned, pictures(3))
    assert parts is not None
    assert torch.get_rng_state().equal(chance) and modes == [module.training for module in model.modules()]
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    other = pictures(7)
    with torch.no_grad():
        rows = parts.prefix(other)  # draws nothing
        torch.manual_seed(1)
        got = parts.suffix(rows)
        model.load_state_dict(before)
        torch.manual_seed(1)
        assert got.equal(model(other))


@pytest.mark.parametrize("name", SIX)
def test_the_body_alone_in_eval_behaviour(name: str) -> None:
    for choice in ("last", "head"):
        model, tuned = prepared(name, choice, "train")
        model.eval()
        parts = cut_network(model, tuned, pictures(3), features)
        assert parts is not None
        with torch.no_grad():
            assert parts.suffix(parts.prefix(pictures(5))).equal(features(model, pictures(5)))


@pytest.mark.parametrize("name", SIX)
def test_the_parts_are_the_model_itself(name: str) -> None:
    model, tuned = prepared(name, "last", "eval")
    parts = cut_network(model, tuned, pictures(3))
    assert parts is not None
    own = {id(parameter): key for key, parameter in model.named_parameters()}
    behind = {own[id(parameter)] for parameter in parts.suffix.parameters()}
    before = {own[id(parameter)] for parameter in parts.prefix.parameters()}
    assert behind | before <= set(own.values()) and set(tuned) <= behind and before and not before & set(tuned)


@pytest.mark.parametrize("name", SIX)
def test_no_gradient_in_front_of_what_trains(name: str) -> None:
    model, tuned = prepared(name, "last", "eval")
    parts = cut_network(model, tuned, pictures(3))
    assert parts is not None
    frozen_before = {id(p) for p in parts.prefix.parameters()} - {id(p) for p in parts.suffix.parameters()}
    reached: list[str] = []
    for path, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if path and own and all(id(p) in frozen_before for p in own):
            module.register_forward_hook(
                lambda module, inputs, output, path=path: reached.append(path) if output.requires_grad else None
            )
    model(pictures(2)).square().sum().backward()
    assert not reached  # autograd knows nothing of them: no work goes there
    moved = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == set(tuned)
    whole = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    parts.suffix(parts.prefix(pictures(2))).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert (parameter.grad is None) == (key not in whole)
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, whole[key], rtol=1e-5, atol=1e-6)


def test_nothing_in_front_of_what_trains() -> None:
    for choice in ("all", "embed", "first"):
        model, tuned = prepared("test_resnet", choice, "eval")
        assert cut_network(model, tuned, pictures(3)) is None


class Net(nn.Module):
    """Three layers of which the last trains, with something of each test's own between the first two."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.second = nn.Conv2d(3, 4, 3), between, nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.between(self.first(images))).mean((2, 3)))


class Detailed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Mixing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def halves(between: nn.Module, *, training: bool = False) -> CutNetwork | None:
    torch.manual_seed(0)
    net = Net(between).train(training)
    return cut_network(net, ["head.weight", "head.bias"], images(4, SIDE // 4))


def test_what_no_cut_can_keep() -> None:
    assert halves(nn.ReLU(inplace=True)) is not None
    assert halves(Detailed()) is None  # cannot be traced
    assert halves(Mixing()) is None  # an image's row would depend on its neighbours
    hooked = nn.Identity()
    hooked.register_forward_hook(lambda module, inputs, output: None)
    assert halves(hooked) is None


@pytest.mark.parametrize("between", [nn.Dropout(0.5), nn.BatchNorm2d(4, affine=False)])
def test_the_cut_is_in_front_of_chance_and_of_moving_statistics(between: nn.Module) -> None:
    still, moving = halves(between), halves(between, training=True)
    assert still is not None and moving is not None
    assert still.width == 4 and moving.width == 4 * (SIDE // 4 - 2) ** 2
    assert between in moving.suffix.modules() and between not in moving.prefix.modules()


class Beside(nn.Module):
    """While it is called, another thread calls a network of its own."""

    def __init__(self, model: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.model, self.other, self.seen = model, [other], list[Tensor]()

    def forward(self, images: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            self.seen.append(pool.submit(self.other[0], torch.ones(2, 3)).result())
        return self.model(images)


def test_what_other_threads_call_goes_on_as_ever() -> None:
    """Tracing changes how every module of the process is called."""
    other = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    expected = other(torch.ones(2, 3))
    model = Beside(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), other)
    tuned = ["model.2.weight", "model.2.bias"]
    freeze_all_but(model, tuned)
    assert cut_network(model, tuned, torch.rand(4, 3, 3, 3)) is not None
    assert len(model.seen) > 1 and all(seen.equal(expected) for seen in model.seen)
