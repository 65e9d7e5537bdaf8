"""Scores of tensors against their definitions, one example at a time by plain autograd in float64."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.data.loader import Batch
from ftcli.engine.device import Machine
from ftcli.engine.gradient_scores import SCORINGS, GradientSource, Scoring, rgn, snr, snr_code
from ftcli.engine.micro_batches import MicroBatches
from ftcli.log import Log
from ftcli.model.normalization import norm_tensors
from tests.helpers.plain_loop import float64
from tests.helpers.tiny import images, tiny

CPU = Machine(torch.device("cpu"), "fp32", 0)
WHOLE = MicroBatches("scoring", 12, Log())
SIZES = (12, 12, 5)  # images of each batch: more than are looked at together, and a tail
Gradients = list[np.ndarray]  # of each batch: [examples, *shape]
Formula = Callable[[np.ndarray, Gradients], float]


class Small(nn.Module):
    """Convolutions, both kinds of norms under names that do not say so, dropout, and a tensor whose first side is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.bn1 = nn.Conv2d(3, 4, 3)  # a convolution, whatever it is called
        self.downsample = nn.Sequential(nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6))
        self.token = nn.Parameter(torch.randn(1, 6))
        self.foo = nn.LayerNorm(6)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.Linear(6, 5)
        self.fc = nn.Linear(5, 3)
        for tensor in (self.downsample[1].bias, self.foo.bias):
            nn.init.normal_(tensor)
        nn.init.zeros_(self.fc.bias)
        self.downsample[1].running_mean.normal_()
        self.downsample[1].running_var.uniform_(0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(self.bn1(x)).relu().mean((2, 3))  # [B, 6]
        return self.fc(self.norm(self.drop(self.foo(x + self.token))).tanh())  # [B, 3]


NORMS = {"downsample.1.weight", "downsample.1.bias", "foo.weight", "foo.bias"}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return Small().double().eval()


@pytest.fixture
def batches() -> list[Batch]:
    return list(drawn(SIZES))


def drawn(sizes: tuple[int, ...], side: int = 8, classes: int = 3) -> Iterator[Batch]:
    """Batches of noise in float64, each class a little brighter than the one before."""
    generator = torch.Generator().manual_seed(1)
    for size in sizes:
        labels = torch.randint(classes, (size,), generator=generator)
        pixels = torch.randn(size, 3, side, side, generator=generator, dtype=torch.float64)
        yield Batch(pixels + labels[:, None, None, None], labels, labels, True)


def mean_loss(logits: Tensor, batch: Batch) -> Tensor:
    return cross_entropy(logits, batch.labels)


def scored(model: nn.Module, batches: list[Batch], what: Callable[..., dict[str, float]]) -> dict[str, float]:
    """A score of every parameter by the package, in float64."""
    with float64:
        return what(GradientSource(model, dict(model.named_parameters()), batches, mean_loss, CPU, WHOLE))


def plain(model: nn.Module, batches: list[Batch], formula: Formula) -> dict[str, float]:
    """The formula of every parameter, from the gradients of one example after the other."""
    model, found = deepcopy(model).double().eval(), {}
    of_each: list[list[list[np.ndarray]]] = []  # by batch, example, parameter
    for batch in batches:
        of_each.append([])
        for image, label in zip(batch.images.double(), batch.labels, strict=True):
            model.zero_grad()
            cross_entropy(model(image[None]), label[None]).backward()
            of_each[-1].append([parameter.grad.numpy().copy() for parameter in model.parameters()])
    for place, (name, parameter) in enumerate(model.named_parameters()):
        by_batch = [np.stack([example[place] for example in batch]) for batch in of_each]
        found[name] = formula(parameter.detach().numpy(), by_batch)
    return found


def plain_rgn(theta: np.ndarray, gradients: Gradients) -> float:
    """Mean over the batches of ‖g‖₂ / ‖θ‖₂, g the mean gradient of a batch's examples."""
    length = np.sqrt((theta**2).sum())
    return float(np.mean([np.sqrt((of.mean(axis=0) ** 2).sum()) / length for of in gradients])) if length else 0.0


def plain_snr(theta: np.ndarray, gradients: Gradients) -> float:
    """Mean over the elements of E[g]² / (Var[g] + 1e-8), both over all examples."""
    examples = np.concatenate(gradients)  # [n, *shape]
    return float((examples.mean(axis=0) ** 2 / (examples.var(axis=0, ddof=1) + 1e-8)).mean())


def plain_snr_code(theta: np.ndarray, gradients: Gradients) -> float:
    """Mean over elements and batches of g² / (Var(g) + 1e-8), the variance along the tensor's first dimension."""
    if len(theta) == 1:
        return 0.0
    of_batch = [of.mean(axis=0) for of in gradients]
    return float(np.mean([(g**2 / (g.var(axis=0, ddof=1) + 1e-8)).mean() for g in of_batch]))


def assert_close(found: dict[str, float], expected: dict[str, float], rel: float = 1e-5) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=rel, abs=0), name


FORMULAS = {rgn: plain_rgn, snr: plain_snr, snr_code: plain_snr_code}


@pytest.mark.parametrize("score", [rgn, snr, snr_code], ids=lambda score: score.__name__)
def test_equals_plain_autograd(
    network: nn.Module, batches: list[Batch], score: Callable[..., dict[str, float]]
) -> None:
    nn.init.normal_(network.fc.bias)
    expected = plain(network, batches, FORMULAS[score])
    assert_close(scored(network, batches, score), expected)
    without_tail = plain(network, batches[:-1], FORMULAS[score])  # so that the tail is seen to count
    assert any(abs(without_tail[name] / expected[name] - 1) > 1e-3 for name in expected if expected[name])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
@pytest.mark.parametrize("score", [rgn, snr, snr_code], ids=lambda score: score.__name__)
def test_real_architectures(name: str, score: Callable[..., dict[str, float]]) -> None:
    model = tiny(name, num_classes=3).double()
    labels = torch.tensor([0, 1, 2, 1, 0])
    pixels = images(5).double()
    two = [Batch(pixels[:3], labels[:3], labels[:3], True), Batch(pixels[3:], labels[3:], labels[3:], True)]
    assert_close(scored(model, two, score), plain(model, two, FORMULAS[score]))


def test_variance_has_ddof_1(network: nn.Module) -> None:
    """With three examples ddof 0 would give half as much again."""
    three = list(drawn((2, 1)))
    found = scored(network, three, snr)
    assert_close(found, plain(network, three, plain_snr))
    biased = plain(network, three, lambda theta, g: plain_snr(theta, g) * 1.5)
    assert found["fc.weight"] != pytest.approx(biased["fc.weight"], rel=0.1)


def test_a_tail_counts_by_batch_in_rgn_and_by_example_in_snr(network: nn.Module, batches: list[Batch]) -> None:
    last = batches[-1]
    halves = [Batch(last.images[i : i + 1], last.labels[i : i + 1], last.labels[i : i + 1], True) for i in range(5)]
    for score, same in ((snr, True), (rgn, False)):
        whole, cut = scored(network, batches, score), scored(network, [*batches[:-1], *halves], score)
        assert (whole["fc.weight"] == pytest.approx(cut["fc.weight"], rel=1e-9)) is same


def test_a_tensor_of_zeros_takes_the_score_of_its_weight(network: nn.Module, batches: list[Batch]) -> None:
    expected = plain(network, batches, plain_rgn)
    found = scored(network, batches, rgn)
    assert not network.fc.bias.any()
    assert found["fc.bias"] == found["fc.weight"] == pytest.approx(expected["fc.weight"], rel=1e-5)
    assert found["norm.bias"] == pytest.approx(expected["norm.bias"], rel=1e-5)  # not zero: its own


def test_zeros_without_a_weight_that_could_lend_a_score(network: nn.Module, batches: list[Batch]) -> None:
    for tensor in (network.token, network.fc.weight, network.fc.bias):
        nn.init.zeros_(tensor)
    found = scored(network, batches, rgn)
    assert found["token"] == found["fc.weight"] == found["fc.bias"] == 0.0
    assert all(np.isfinite(value) for value in found.values())


def test_one_row_has_no_variance_and_no_score(network: nn.Module, batches: list[Batch]) -> None:
    found = scored(network, batches, snr_code)
    assert found["token"] == 0.0 and found["fc.bias"] > 0


def test_only_the_tensors_asked_for(network: nn.Module, batches: list[Batch]) -> None:
    few = {name: p for name, p in network.named_parameters() if name.startswith("fc")}
    for score in (rgn, snr, snr_code):
        with float64:
            found = score(GradientSource(network, few, batches, mean_loss, CPU, WHOLE))
        whole = scored(network, batches, score)
        assert_close(found, {name: whole[name] for name in few}, rel=1e-9)


@pytest.mark.parametrize("name", SCORINGS)
def test_nothing_is_changed_by_looking(network: nn.Module, batches: list[Batch], name: str) -> None:
    network.drop.train()  # a mode that eval() would not leave; nothing is dropped at a rate of 0
    network.drop.p = 0.0
    network.fc.weight.grad = torch.ones_like(network.fc.weight)
    state, modes = deepcopy(network.state_dict()), [module.training for module in network.modules()]
    drawn_before, drawn_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    scored(network, batches, SCORINGS[name](0.5).scores)
    assert all(tensor.equal(state[key]) for key, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert torch.get_rng_state().equal(drawn_before)
    assert (np.random.get_state()[1] == drawn_numpy).all()
    assert network.fc.weight.grad.equal(torch.ones_like(network.fc.weight)) and network.norm.weight.grad is None


@pytest.mark.parametrize("name", SCORINGS)
def test_float32_agrees_with_float64(network: nn.Module, batches: list[Batch], name: str) -> None:
    scoring = SCORINGS[name](0.5)
    exact = scored(network, batches, scoring.scores)
    narrow = [batch._replace(images=batch.images.float()) for batch in batches]
    tensors = dict(network.float().named_parameters())
    found = scoring.scores(GradientSource(network, tensors, narrow, mean_loss, CPU, WHOLE))
    assert_close(found, exact, rel=1e-3)


def test_rgn_is_the_share_of_the_rate(network: nn.Module, batches: list[Batch]) -> None:
    raw = plain(network, batches, plain_rgn)
    raw["fc.bias"] = raw["fc.weight"]
    scores = scored(network, batches, SCORINGS["rgn"](0.5).scores)
    assert_close(scores, {name: value / max(raw.values()) for name, value in raw.items()})
    assert max(scores.values()) == 1.0
    assert SCORINGS["rgn"](0.5).rate_shares(scores) == scores


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 1.0])
def test_snr_trains_what_reaches_its_share_of_the_highest(
    network: nn.Module, batches: list[Batch], threshold: float
) -> None:
    raw = plain(network, batches, plain_snr)
    expected = {name: value / max(raw.values()) for name, value in raw.items()}
    scoring = SCORINGS["snr"](threshold)
    scores = scored(network, batches, scoring.scores)
    assert_close(scores, expected)
    assert scoring.rate_shares(scores) == {name: float(value >= threshold) for name, value in scores.items()}
    assert sum(scoring.rate_shares(scores).values()) >= 1


def test_snr_code_is_not_divided_and_cut_at_095(network: nn.Module, batches: list[Batch]) -> None:
    raw, scoring = plain(network, batches, plain_snr_code), SCORINGS["snr-code"](0.5)
    scores = scored(network, batches, scoring.scores)
    assert_close(scores, raw)
    assert scoring.rate_shares({"a": 0.9499, "b": 0.95, "c": 17.0}) == {"a": 0.0, "b": 1.0, "c": 1.0}


def test_scores_that_are_all_zero_stay_zero() -> None:
    scoring = Scoring(lambda _: {"a": 0.0, "b": 0.0})
    assert scoring.scores(GradientSource(nn.Identity(), {}, [], mean_loss, CPU, WHOLE)) == {"a": 0.0, "b": 0.0}


def test_norm_layers_are_known_by_their_type(network: nn.Module) -> None:
    assert set(norm_tensors(network)) == NORMS
    assert set(norm_tensors(network, batch_only=True)) == {"downsample.1.weight", "downsample.1.bias"}


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(4), nn.BatchNorm3d(4), nn.SyncBatchNorm(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.RMSNorm(4),
        nn.InstanceNorm2d(4, affine=True), timm.layers.BatchNormAct2d(4), timm.layers.GroupNorm1(4),
        timm.layers.LayerNorm2d(4), timm.layers.RmsNorm(4), timm.layers.LayerNormAct2d(4),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_every_kind_of_norm(layer: nn.Module) -> None:
    model = nn.ModuleDict({"conv": nn.ModuleDict({"3": layer}), "norm": nn.Linear(4, 4)})
    assert set(norm_tensors(model)) == {f"conv.3.{name}" for name, _ in layer.named_parameters()}
    assert len(norm_tensors(model)) >= 1


@pytest.mark.parametrize("name", ["dm_nfnet_f0", "mixer_s32_224", "levit_128s"])
def test_what_only_sounds_like_a_norm(name: str) -> None:
    """Norm-free blocks, and blocks with a norm inside, have tensors of their own that normalise nothing."""
    with torch.device("meta"):
        model = timm.create_model(name)
    known = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
    expected = {
        f"{path}.{key}"
        for path, module in model.named_modules()
        if isinstance(module, known)
        for key, _ in module.named_parameters(recurse=False)
    }
    assert set(norm_tensors(model)) == expected
