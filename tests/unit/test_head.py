"""The classifier: what goes into it, setting it, drawing it afresh without touching anything else."""

import math
import re

import pytest
import scipy.stats
import timm
import torch
from torch import nn

from ftcli.errors import RequestError
from ftcli.model.head import classifier_tensors, features, fresh_head, head_of, set_head
from tests.helpers.families import FAMILIES, MLP_HEAD, family, side_of
from tests.helpers.tiny import SIX, images, tiny

ROUNDING = 1e-5  # of the largest logit: the mean of two layers against one layer of their mean weights
CONV_HEAD = "resnetv2_18"  # its classifier is a 1x1 convolution


def network(name: str) -> nn.Module:
    return timm.create_model(name, num_classes=5).eval() if name == CONV_HEAD else tiny(name)


@pytest.mark.parametrize("name", [*SIX, CONV_HEAD])
def test_the_head_on_the_features_is_the_model(name: str) -> None:
    model = network(name)
    head = head_of(model)
    with torch.inference_mode():
        phi = features(model, images())
        by_hand = phi @ head.weight.T + head.bias  # [B, K]
        assert phi.shape == (2, model.head_hidden_size) and head.weight.shape == (5, model.head_hidden_size)
        torch.testing.assert_close(head(phi), by_hand)
        torch.testing.assert_close(model(images()), by_hand)


@pytest.mark.parametrize("name", [*SIX, CONV_HEAD])
def test_a_set_head_changes_the_classifier_alone(name: str) -> None:
    model = network(name)
    before = {key: (tensor, tensor.clone()) for key, tensor in model.state_dict().items()}
    D = model.head_hidden_size
    weight, bias = torch.randn(7, D, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    set_head(model, weight, bias)
    assert torch.equal(head_of(model).weight, weight.float()) and torch.equal(head_of(model).bias, bias.float())
    assert model.num_classes == 7
    (head,) = head_of(model).names
    for key, tensor in model.state_dict().items():
        if not key.startswith(f"{head}."):
            assert tensor.data_ptr() == before[key][0].data_ptr() and torch.equal(tensor, before[key][1])
    with torch.inference_mode():
        assert model(images()).shape == (2, 7)
    with pytest.raises(ValueError, match="does not fit"):
        set_head(model, torch.zeros(7, D + 1), torch.zeros(7))


def test_a_fresh_head_has_the_distribution_of_nn_linear() -> None:
    model = tiny("test_resnet")
    D = model.head_hidden_size
    fresh_head(model, 2000, seed=5)
    bound = 1 / math.sqrt(D)
    weight, bias = head_of(model).weight.flatten().double(), head_of(model).bias.double()
    reference = nn.Linear(D, 2000)
    assert weight.abs().max() <= bound and bias.abs().max() <= bound
    for ours, theirs in ((weight, reference.weight), (bias, reference.bias)):
        some = ours[:20000].numpy()
        assert scipy.stats.kstest(some, "uniform", args=(-bound, 2 * bound)).pvalue > 1e-3
        assert scipy.stats.ks_2samp(some, theirs.detach().flatten()[:20000].double().numpy()).pvalue > 1e-3


@pytest.mark.parametrize("name", [*SIX, CONV_HEAD, "shvit_s1", "efficientvit_m0"])
def test_a_fresh_head_depends_on_the_seed_and_moves_nothing_else(name: str) -> None:
    model = tiny(name) if name in SIX else timm.create_model(name, num_classes=5)
    (head,) = head_of(model).names
    body = {key: tensor.clone() for key, tensor in model.state_dict().items() if not key.startswith(f"{head}.")}
    state = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        fresh_head(model, 3, seed)
        drawn.append(torch.cat([head_of(model).weight.flatten(), head_of(model).bias]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in body.items())
    fresh_head(model, 5, 1)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in timm.create_model(name, num_classes=5, **SIX.get(name, {})).state_dict().items()
        if "pos_embed" not in k
    } | {k: v.shape for k, v in model.state_dict().items() if "pos_embed" in k}  # fmt: skip


def test_two_models_of_one_width_get_the_same_fresh_head() -> None:
    plain, converted = tiny("test_resnet", seed=0), tiny("test_resnet", seed=9).double()
    fresh_head(plain, 4, 0)
    fresh_head(converted, 4, 0)
    assert torch.equal(head_of(plain).weight.double(), head_of(converted).weight)


def test_a_new_head_trains() -> None:
    model = tiny("test_resnet")
    fresh_head(model, 3, 0)
    model(images()).square().sum().backward()
    grads = dict(model.named_parameters())
    assert all(grads[name].grad is not None for name in classifier_tensors(model))


@pytest.mark.parametrize("name", [*FAMILIES, MLP_HEAD])
def test_several_layers_are_one_linear_head(name: str) -> None:
    model = family(name)
    head, batch = head_of(model), images(3, side_of(name))
    with torch.inference_mode():
        phi, logits = features(model, batch), model(batch)
        assert phi.shape == (3, head.width) and head.weight.shape == (5, head.width)
        assert torch.equal(head(phi), logits)
        allowed = ROUNDING * logits.abs().max().item()
        torch.testing.assert_close(phi @ head.weight.T + head.bias, logits, rtol=0, atol=allowed)
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        weight, bias = torch.randn(7, head.width), torch.randn(7)
        set_head(model, weight, bias)
        head, logits = head_of(model), model(batch)
        torch.testing.assert_close(head.weight, weight)
        torch.testing.assert_close(head.bias, bias)
        assert model.num_classes == 7 and logits.shape == (3, 7) and torch.equal(head(phi), logits)
        expected = phi @ weight.T + bias
        torch.testing.assert_close(logits, expected, rtol=0, atol=ROUNDING * expected.abs().max().item())
    own = set(classifier_tensors(model))
    assert own == {f"{path}.{end}" for path in head.names for end in ("weight", "bias")}
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items() if key not in own)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    built = family(name, num_classes=7).state_dict()
    assert shapes == {key: tensor.shape for key, tensor in built.items()}


def test_gradients_reach_every_layer_of_the_head() -> None:
    model, batch = family("efficientvim_m1_dist"), images()
    phi = features(model, batch)
    head_of(model, gradients=True)(phi).square().sum().backward()
    by_hand = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()
    model(batch).square().sum().backward()
    assert {*classifier_tensors(model), "weights", "weights_dist"} <= by_hand.keys()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(by_hand[name], parameter.grad)


def test_layers_of_their_own_are_kept_when_nothing_is_set() -> None:
    model = family("swiftformer_xs")  # two layers on the same features
    head = head_of(model)
    mean = (model.head.weight + model.head_dist.weight) / 2
    assert not torch.equal(model.head.weight, model.head_dist.weight)
    torch.testing.assert_close(head.weight, mean.detach())
    set_head(model, head.weight, head.bias)
    assert torch.equal(model.head.weight, model.head_dist.weight)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("volo_d1_224", "VOLO .*aux_head.*--model-arg use_aux_head=false --drop-prefix aux_head."),
        ("qwen3_vit_88m_enc", "Qwen3VitEncoder has no classifier: it is an encoder"),
    ],
)
def test_what_is_not_linear_is_refused(name: str, says: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(RequestError) as refused:
        head_of(model)
    assert re.search(says, f"{refused.value} {refused.value.fix}", re.DOTALL)


def test_volo_without_its_second_classifier_has_a_linear_head() -> None:
    with torch.device("meta"):
        model = timm.create_model("volo_d1_224", num_classes=5, use_aux_head=False)
    assert head_of(model).names == ("head",) and head_of(model).width == model.head_hidden_size


def test_layers_in_a_family_of_unknown_arithmetic_are_refused() -> None:
    model = tiny("test_resnet")
    model.get_classifier = lambda: (model.fc, nn.Linear(model.num_features, 5))
    with pytest.raises(RequestError, match="not one linear layer"):
        head_of(model)


def test_a_classifier_without_a_bias_is_refused() -> None:
    model = tiny("test_resnet")
    model.fc = nn.Linear(model.num_features, 3, bias=False)
    with pytest.raises(RequestError, match="with a bias"):
        head_of(model)
