"""Frozen means: no gradient, no moving statistics, no dropout, whoever calls .train() later."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ftcli.model.blocks import blocks_of
from ftcli.model.trainable import freeze_all_but, release, training_mode
from tests.helpers.families import family, side_of
from tests.helpers.tiny import SIX, images, tiny


def step(model: nn.Module) -> set[str]:
    """One step of gradient descent; the names of the parameters and buffers that moved."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    moving = [p for p in model.parameters() if p.requires_grad]
    loss = model(images(4)).square().mean()
    if moving:
        loss.backward()
        torch.optim.SGD(moving, lr=0.1).step()
    return {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("choice", ["first", "middle", "last", "head", "all"])
def test_the_chosen_tensors_move_and_no_others(name: str, choice: str) -> None:
    model = tiny(name)
    body, head = blocks_of(model)
    chosen = {"first": body[:1], "middle": body[len(body) // 2 :][:1], "last": body[-1:], "head": [head]}
    names = {t for block in chosen.get(choice, [*body, head]) for t in block.tensors}
    freeze_all_but(model, names)
    training_mode(model, "train")
    model.train()  # somebody else's call
    moved = step(model)
    parameters = dict(model.named_parameters())
    assert {key for key, p in parameters.items() if p.grad is not None} == names
    # The gradient of some is zero or rounding: a constant before a BatchNorm in train mode cancels.
    assert {key for key, p in parameters.items() if p.grad is not None and p.grad.norm() > 1e-6} <= moved
    assert moved & parameters.keys() <= names and len(moved & names) > len(names) / 2
    owners = {key.rpartition(".")[0] for key in names}
    batch_norms = {key for key, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    assert {key.rpartition(".")[0] for key in moved - parameters.keys()} == owners & batch_norms


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050"])
def test_bn_eval_keeps_all_statistics_and_trains_the_parameters(name: str) -> None:
    model = tiny(name)
    freeze_all_but(model, [key for key, _ in model.named_parameters()])
    training_mode(model, "eval")
    model.train()
    model.get_classifier().train()
    assert not any(module.training for module in model.modules())
    assert step(model) == {key for key, _ in model.named_parameters()}


def test_it_survives_copies_and_is_undone() -> None:
    model = tiny("test_resnet")
    _, head = blocks_of(model)
    keys = list(model.state_dict())
    freeze_all_but(model, head.tensors)
    training_mode(model, "train")
    twin = copy.deepcopy(model)
    for one in (twin, model):
        one.eval()
        one.train()
        assert one.training and not one.layer1.training and not one.bn1.training and one.fc.training
        assert step(one) == set(head.tensors)
        assert list(one.state_dict()) == keys
    assert twin.bn1.train.__self__ is twin.bn1
    freeze_all_but(twin, [key for key, _ in twin.named_parameters()])
    training_mode(twin, "train")
    assert all(module.training for module in twin.modules()) and not model.bn1.training
    release(model)
    model.train()
    assert all(module.training for module in model.modules())
    assert not any("train" in module.__dict__ for module in model.modules())


class WithDropout(nn.Module):
    """Two parts, each with a dropout, and a BatchNorm without parameters between."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.drop = nn.Dropout(0.5)
        self.top = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))


def test_modules_without_parameters_follow_what_surrounds_them() -> None:
    model = WithDropout()
    freeze_all_but(model, ["top.1.weight", "top.1.bias"])
    training_mode(model, "train")
    assert not model.low[1].training and model.top[0].training and model.drop.training and not model.norm.training
    freeze_all_but(model, [key for key, _ in model.named_parameters()])
    training_mode(model, "train")
    assert model.norm.training and model.low[1].training
    freeze_all_but(model, [])
    training_mode(model, "train")
    assert not any(module.training for module in model.modules())


def test_a_batch_norm_is_judged_by_its_own_parameters() -> None:
    model = tiny("test_resnet")
    freeze_all_but(model, ["layer1.0.conv1.weight", "layer2.0.bn1.bias"])
    training_mode(model, "train")
    assert not model.layer1[0].bn1.training and model.layer2[0].bn1.training and not model.layer2[0].bn2.training


def test_wrong_words() -> None:
    model = tiny("test_resnet")
    with pytest.raises(KeyError, match="layer9"):
        freeze_all_but(model, ["layer9.weight"])
    with pytest.raises(ValueError, match="frozen"):
        training_mode(model, "frozen")


@pytest.mark.parametrize("name", ["levit_128s", "efficientformer_l1"])
def test_biases_that_timm_keeps_in_eval_mode_train(name: str) -> None:
    """Held against timm's own way, in which `.eval()` before every step forgets them."""
    ours, plain = family(name), family(name)
    training_mode(ours, "eval")
    batch = images(4, side_of(name))
    with torch.no_grad():
        ours(batch)  # a pass without gradients before the first step, as of an evaluation
    for _ in range(3):
        plain.eval()
        for model in (ours, plain):
            model.zero_grad()
            cross_entropy(model(batch), torch.arange(4)).backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.1 * parameter.grad
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), plain.parameters(), strict=True))
    trained = dict(ours.named_parameters())
    biases = [key for key in trained if key.endswith("attention_biases")]
    assert any(
        not torch.equal(trained[key], tensor) for key, tensor in family(name).named_parameters() if key in biases
    )
    copy.deepcopy(ours)  # nothing of a graph is kept
