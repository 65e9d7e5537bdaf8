"""Rules of averages of weights against plain float64 loops, on random weights and on tiny networks."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ftcli.averages.evaluator import greedy_members
from ftcli.engine.select import Candidate, standard_error, strongest_within_error
from ftcli.model.blocks import blocks_of
from ftcli.model.weights import depth_shares, mean_weights, scale_by_depth, stock_shares, stock_weights
from tests.helpers.plain_rules import averages as plain_averages
from tests.helpers.plain_rules.heads import one_standard_error
from tests.helpers.tiny import tiny

State = dict[str, Tensor]


def drawn(seed: int, size: float = 1.0) -> State:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (3, 4), "a.bias": (3,), "b.weight": (2, 3), "b.running_mean": (2,)}
    return {name: size * torch.randn(shape, generator=generator) for name, shape in shapes.items()} | {
        "b.counter": torch.tensor(seed)
    }


def moved(start: State, seed: int, size: float = 0.3, shared: int = 77) -> State:
    """The start after a move that all members have in common and one of their own."""
    common, own = drawn(shared, size), drawn(seed, size)
    return {n: t + common[n] + own[n] if t.is_floating_point() else own[n] for n, t in start.items()}


def plain(tensor: Tensor) -> np.ndarray:
    return tensor.numpy().astype(np.float64)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_model_stock_is_the_plain_loop(count: int) -> None:
    start = drawn(0)
    states = [moved(start, seed) for seed in range(1, count + 1)]
    names = {"a.weight", "a.bias", "b.weight"}
    shares = stock_shares(start, states, names)
    assert set(shares) == names and any(0 < t < 1 for t in shares.values())
    averaged = stock_weights(start, states, shares)
    for name, tensor in start.items():
        if name == "b.counter":
            assert averaged[name].equal(states[0][name])
            continue
        deltas = [plain(state[name]) - plain(tensor) for state in states]
        t = plain_averages.stock_ratio(deltas) if name in names else 1.0
        if name in names:
            assert shares[name] == pytest.approx(t, abs=1e-12)
        expected = t * np.mean([plain(state[name]) for state in states], axis=0) + (1 - t) * plain(tensor)
        assert averaged[name].dtype == tensor.dtype and np.abs(plain(averaged[name]) - expected).max() < 1e-6


def test_model_stock_of_opposite_and_of_unmoved_members() -> None:
    start = drawn(0)
    away = moved(start, 1)
    back = {n: 2 * t - away[n] if t.is_floating_point() else t for n, t in start.items()}
    shares = stock_shares(start, [away, back], {"a.weight"})
    assert shares == {"a.weight": 0.0}  # a cosine of -1 would give t without bound
    assert stock_weights(start, [away, back], shares)["a.weight"].equal(start["a.weight"])
    assert stock_shares(start, [away, start], {"a.bias"}) == {"a.bias": 1.0}
    assert stock_shares(start, [away, away], {"b.weight"})["b.weight"] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_depth_scaling_is_the_plain_rule(name: str, alpha: float) -> None:
    before, after = tiny(name, seed=0), tiny(name, seed=1)
    A, B = before.state_dict(), after.state_dict()
    found = scale_by_depth(A, B, depth_shares(before, alpha))
    body, head = blocks_of(before)
    block_of = {tensor: i for i, block in enumerate(body) for tensor in block.tensors} | dict.fromkeys(head.tensors)
    parts = [{name: weights[name] for name in block_of} for weights in (A, B)]
    for tensor, expected in plain_averages.lines(*parts, block_of, len(body), alpha).items():
        assert np.abs(plain(found[tensor]) - expected).max() < 1e-6
    assert all(found[tensor].equal(B[tensor]) for tensor in head.tensors)
    assert all(found[tensor].equal(B[tensor]) for tensor in body[-1].tensors)  # s = 1
    assert alpha or all(found[tensor].equal(A[tensor]) for tensor in body[0].tensors)


def test_buffers_are_scaled_with_their_block() -> None:
    model = tiny("test_resnet")
    shares = depth_shares(model, 0.0)
    body, _ = blocks_of(model)
    share_of = {name: shares[name] for block in body for name in block.tensors}
    for name in model.state_dict():
        if name.endswith("running_mean"):
            assert shares[name] == share_of[name.replace("running_mean", "weight")]
        assert not name.endswith("num_batches_tracked") or name not in shares


def test_one_block_is_not_scaled() -> None:
    model = torch.nn.Sequential()
    model.body = torch.nn.Linear(2, 2)
    model.fc = torch.nn.Linear(2, 2)
    model.get_classifier = lambda: model.fc  # type: ignore[assignment]
    assert set(depth_shares(model, 0.0).values()) == {1.0}


def test_the_mean_reads_one_tensor_at_a_time() -> None:
    """States in files must not all be in memory at once."""
    states = [drawn(seed) for seed in range(3)]
    reads: list[tuple[int, str]] = []

    class Watched(dict[str, Any]):
        def __init__(self, i: int) -> None:
            super().__init__(states[i])
            self.i = i

        def __getitem__(self, name: str) -> Tensor:
            reads.append((self.i, name))
            return states[self.i][name]

    found = mean_weights([Watched(i) for i in range(3)])
    assert all(found[name].equal(tensor) for name, tensor in mean_weights(states).items())
    names = [name for _, name in reads]
    assert names == sorted(names, key=list(states[0]).index)  # tensor by tensor, not state by state


def test_greedy_tries_the_best_first_and_keeps_what_does_not_lower() -> None:
    alone = {"a": Candidate(0, 0.7, 1.0), "b": Candidate(0, 0.9, 1.0), "c": Candidate(0, 0.8, 1.0)}
    worth = {"bc": 0.9, "bca": 0.85}
    assert greedy_members(alone, lambda names: Candidate(0, worth["".join(names)], 1.0)) == ["b", "c"]


@pytest.mark.parametrize("seed", range(8))
def test_one_standard_error_is_the_plain_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accuracies = (rng.integers(70, 100, size=11) / 100).tolist()
    candidates = [Candidate(0, accuracy, 1.0, epoch=i) for i, accuracy in enumerate(accuracies)]
    expected = one_standard_error([(-i, accuracy) for i, accuracy in enumerate(accuracies)], 100)
    assert strongest_within_error(candidates, 100).epoch == -expected


@pytest.mark.parametrize("seed", range(8))
def test_soups_are_the_plain_rules(seed: int) -> None:
    """Greedy by an accuracy that falls with the distance from a hidden point."""
    states = [moved(drawn(0), one, shared=seed) for one in range(10 * seed + 1, 10 * seed + 6)]
    target = moved(drawn(0), 10 * seed, shared=seed)["a.weight"].numpy()

    def accuracy(weights: Any) -> float:
        return round(float(1 / (1 + np.abs(np.asarray(weights["a.weight"]) - target).mean())), 2)

    alone = {str(i): Candidate(0, accuracy(state), float(i)) for i, state in enumerate(states)}
    found = greedy_members(
        alone, lambda names: Candidate(0, accuracy(mean_weights([states[int(name)] for name in names])), 1.0)
    )
    expected, kept = plain_averages.greedy([(accuracy(state), state) for state in states], accuracy)
    assert [int(name) for name in found] == kept
    for name, values in expected.items():
        assert np.abs(plain(mean_weights([states[i] for i in kept])[name]) - values).max() < 1e-6


def test_one_standard_error() -> None:
    """Of 100 examples at 0.9 one standard error is 0.03: 0.87 is within it, 0.86 is not."""
    assert standard_error(0.9, 100) == pytest.approx(0.03)
    accuracies = [0.5, 0.86, 0.87, 0.9, 0.88]
    candidates = [Candidate(0, accuracy, 1.0, epoch=i) for i, accuracy in enumerate(accuracies)]
    assert strongest_within_error(candidates, 100).epoch == 2
    assert strongest_within_error(candidates, 10_000).epoch == 3
    assert strongest_within_error(candidates, 100, reference=0.88).epoch == 1  # 0.88 - 0.0325
    assert standard_error(1.0, 10) == 0.0
