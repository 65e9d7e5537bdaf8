"""Weights as points: distances against NumPy, the line between two models at its ends and beyond, means, misfits."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ftcli.model.blocks import blocks_of
from ftcli.model.weights import interpolate_weights, mean_weights, mismatched_tensors, parameter_distances
from tests.helpers.tiny import SIX, tiny

State = dict[str, Tensor]


def state(name: str = "test_resnet", seed: int = 0, classes: int = 5) -> State:
    """Weights of a tiny network; those of BatchNorm have counted other batches with every seed."""
    found = {key: value.clone() for key, value in tiny(name, classes, seed).state_dict().items()}
    for value in found.values():
        if not value.is_floating_point():
            value.fill_(100 + seed)
    return found


def bits(value: Tensor) -> bytes:
    """What `equal` does not tell apart: 0 and -0."""
    return value.contiguous().numpy().tobytes()


def norm(arrays: list[np.ndarray]) -> float:
    return float(np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays)))


@pytest.mark.parametrize("name", SIX)
def test_distances_by_block_and_in_total(name: str) -> None:
    before, after = tiny(name, seed=0), tiny(name, seed=1)
    A, B = ({key: p.detach().numpy() for key, p in model.named_parameters()} for model in (before, after))
    found, left_out = parameter_distances(before, after)
    body, head = blocks_of(before)
    assert list(found) == [*(block.name for block in body), head.name, "total"] and left_out == []
    for label, names in {**{block.name: block.tensors for block in (*body, head)}, "total": tuple(A)}.items():
        moved = norm([B[key].astype(np.float64) - A[key] for key in names])
        assert found[label]["l2"] == pytest.approx(moved, rel=1e-9)
        assert found[label]["relative"] == pytest.approx(moved / norm([A[key] for key in names]), rel=1e-9)


def test_buffers_do_not_count() -> None:
    before, after = tiny("test_resnet"), tiny("test_resnet")
    for buffer in after.buffers():
        buffer.add_(3)
    found, _ = parameter_distances(before, after)
    assert all(one == {"l2": 0.0, "relative": 0.0} for one in found.values())


def test_a_step_that_float32_cannot_square() -> None:
    before, after = tiny("test_resnet"), tiny("test_resnet")
    with torch.no_grad():
        after.fc.bias += 1e-3  # type: ignore[union-attr, operator]
        before.conv1[0].weight.fill_(1e25)  # type: ignore[index, union-attr]
        after.conv1[0].weight.fill_(2e25)  # type: ignore[index, union-attr]
    found, _ = parameter_distances(before, after)
    n = before.conv1[0].weight.numel()  # type: ignore[index, union-attr]
    assert found["stem"]["l2"] == pytest.approx(1e25 * n**0.5, rel=1e-6)
    assert found["fc"]["l2"] == pytest.approx(1e-3 * 5**0.5, rel=1e-3)


def test_another_head_is_left_out_of_the_total_too() -> None:
    before, after = tiny("test_vit", 5), tiny("test_vit", 3, seed=1)
    same, _ = parameter_distances(before, tiny("test_vit", 5, seed=1))
    found, left_out = parameter_distances(before, after)
    assert left_out == ["head"] and "head" not in found
    body = [one for label, one in found.items() if label != "total"]
    assert found["total"]["l2"] == pytest.approx(sum(one["l2"] ** 2 for one in body) ** 0.5)
    assert set(same) - set(found) == {"head"}


def test_nothing_is_relative_to_zero() -> None:
    before, after = tiny("test_resnet"), tiny("test_resnet", seed=1)
    with torch.no_grad():
        for p in before.fc.parameters():  # type: ignore[union-attr]
            p.zero_()
    found, _ = parameter_distances(before, after)
    assert found["fc"]["relative"] is None and found["fc"]["l2"] > 0 and found["total"]["relative"] > 0


# ---- the line


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("weight", [0, 1, 0.0, 1.0])
def test_the_ends_are_the_models_to_the_bit(name: str, weight: float) -> None:
    A, B = state(name), state(name, 1)
    first = next(key for key in A if key.endswith("bias"))
    A[first][0], B[first][0] = -0.0, 0.0
    expected = B if weight else A
    found = interpolate_weights(A, B, weight)
    assert list(found) == list(A)
    for key, value in found.items():
        wanted = expected[key] if value.is_floating_point() else A[key]
        assert bits(value) == bits(wanted) and value.dtype == wanted.dtype, key


@pytest.mark.parametrize("weight", [0.1, 0.5, 2 / 3, -0.5, 1.5])
def test_on_the_line_and_beyond(weight: float) -> None:
    A, B = state(), state(seed=1)
    found, counters = interpolate_weights(A, B, weight), 0
    for key, value in found.items():
        if not value.is_floating_point():
            assert value.equal(A[key]) and not value.equal(B[key]), key
            counters += 1
            continue
        expected = (1 - weight) * A[key].double() + weight * B[key].double()
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
        assert value.dtype == A[key].dtype
    assert counters > 3  # BatchNorm's


def test_statistics_lie_on_the_line_too() -> None:
    found = interpolate_weights({"running_mean": torch.tensor([1.0])}, {"running_mean": torch.tensor([3.0])}, 0.25)
    assert found["running_mean"].item() == 1.5


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_point_shares_no_memory_with_the_ends(weight: float) -> None:
    A, B = state(), state(seed=1)
    A["fc.weight"] = B["fc.weight"]  # one head in both
    before = [{key: value.clone() for key, value in one.items()} for one in (A, B)]
    found = interpolate_weights(A, B, weight)
    assert found["fc.weight"].equal(B["fc.weight"])
    for value in found.values():
        value.fill_(7)
    assert all(value.equal(old[key]) for one, old in zip((A, B), before, strict=True) for key, value in one.items())


def test_the_line_of_a_model_with_itself_stays_there() -> None:
    A = state()
    for weight in (0.0, 0.1, 0.7, 1.0):
        assert all(
            torch.allclose(value, A[key], rtol=1e-6, atol=0)
            for key, value in interpolate_weights(A, state(), weight).items()
        )
        assert all(bits(value) == bits(A[key]) for key, value in interpolate_weights(A, A, weight).items())


# ---- means


def test_mean_of_several() -> None:
    members = [state(seed=seed) for seed in range(3)]
    found = mean_weights(members)
    assert list(found) == list(members[0])
    for key, value in found.items():
        if value.is_floating_point():
            exact = np.mean([one[key].numpy().astype(np.float64) for one in members], axis=0)
            assert np.array_equal(value.numpy(), exact.astype(np.float32)), key
        else:
            assert value.equal(members[0][key])


def test_mean_of_one_is_that_one() -> None:
    A = state()
    found = mean_weights([A])
    assert all(value.equal(A[key]) and value.data_ptr() != A[key].data_ptr() for key, value in found.items())


def test_mean_of_two_is_the_middle_of_the_line() -> None:
    A, B = state(), state(seed=1)
    for key, value in interpolate_weights(A, B, 0.5).items():
        assert torch.allclose(value.double(), mean_weights([A, B])[key].double(), rtol=1e-6, atol=1e-7)


# ---- misfits


def test_misfits() -> None:
    A = {"a": torch.zeros(2), "b": torch.zeros(2, 3), "c": torch.zeros(1)}
    assert mismatched_tensors(A, {key: value + 1 for key, value in A.items()}) == []
    B = {"a": torch.zeros(2), "b": torch.zeros(3, 2), "d": torch.zeros(1)}
    assert sorted(mismatched_tensors(A, B)) == sorted(mismatched_tensors(B, A)) == ["b", "c", "d"]


def test_misfits_of_networks() -> None:
    assert mismatched_tensors(state(), state(seed=1)) == []
    assert set(mismatched_tensors(state(), state(classes=3))) == {"fc.weight", "fc.bias"}
    plain = nn.Linear(2, 2)
    assert set(mismatched_tensors(state(), plain.state_dict())) == {*state(), "weight", "bias"}
