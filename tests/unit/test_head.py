"""The classifier: what goes into it, setting it, drawing it afresh without touching anything else."""

import math

import pytest
import scipy.stats
import timm
import torch
from torch import nn

from ftcli.errors import RequestError
from ftcli.model.head import classifier_tensors, features, fresh_head, head_of, set_head
from tests.helpers.tiny import SIX, images, tiny

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
    head = head_of(model).name
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
    head = head_of(model).name
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


@pytest.mark.parametrize("name", ["levit_128s", "caformer_s18", "volo_d1_224", "repvit_m1"])
def test_other_classifiers_are_refused(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(RequestError, match="not one linear layer"):
        head_of(model)


def test_a_classifier_without_a_bias_is_refused() -> None:
    model = tiny("test_resnet")
    model.fc = nn.Linear(model.num_features, 3, bias=False)
    with pytest.raises(RequestError, match="with a bias"):
        head_of(model)
