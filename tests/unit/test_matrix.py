"""A feature matrix read block by block: the same numbers from memory and from a file, scaled or not."""

import numpy as np
import pytest
import torch

from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.errors import RequestError, RunError


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(3.0, 2.0, size=(101, 7)).astype(np.float32)


@pytest.fixture
def file(tmp_path, numbers):
    np.save(tmp_path / "features.npy", numbers)
    return tmp_path / "features.npy"


def together(matrix: FeatureMatrix, rows: int | None = None) -> np.ndarray:
    """All rows, each block copied before the next one comes."""
    seen = torch.full(matrix.shape, torch.nan)
    for part, block in matrix.blocks(rows):
        assert block.dtype == torch.float32
        seen[part] = block
    return seen.numpy()


@pytest.mark.parametrize("rows", [1, 10, 100, 101, 1000, None])
def test_file_and_memory_hold_the_same(file, numbers, rows):
    assert FeatureMatrix.open(file).shape == (101, 7)
    np.testing.assert_array_equal(together(FeatureMatrix.open(file), rows), numbers)
    np.testing.assert_array_equal(together(FeatureMatrix.of(torch.from_numpy(numbers)), rows), numbers)


def test_blocks_go_from_the_first_row_to_the_last(file):
    parts = [(part.start, part.stop) for part, _ in FeatureMatrix.open(file).blocks(40)]
    assert parts == [(0, 40), (40, 80), (80, 101)]


@pytest.mark.parametrize("form", ["file", "memory"])
def test_scaled_twice(file, numbers, form):
    matrix = FeatureMatrix.open(file) if form == "file" else FeatureMatrix.of(torch.from_numpy(numbers))
    wide = numbers.astype(np.float64)
    np.testing.assert_allclose(together(matrix.scaled(3.0, 2.0), 30), (wide - 3) / 2, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        together(matrix.scaled(3.0, 2.0).scaled(-1.0, 0.5), 30), ((wide - 3) / 2 + 1) / 0.5, rtol=0, atol=2e-6
    )
    np.testing.assert_array_equal(together(matrix), numbers)  # the reading changes nothing


def test_both_forms_scale_to_the_same_bits(file, numbers):
    inside = FeatureMatrix.of(torch.from_numpy(numbers)).scaled(2.7, 1.3)
    np.testing.assert_array_equal(together(FeatureMatrix.open(file).scaled(2.7, 1.3), 30), together(inside, 30))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_moments_against_numpy(tmp_path, shift):
    many = (np.random.default_rng(1).gamma(2.0, size=(5000, 9)) + shift).astype(np.float32)
    np.save(tmp_path / "many.npy", many)
    exact = many.astype(np.float64).mean(), many.astype(np.float64).std()
    assert FeatureMatrix.of(torch.from_numpy(many)).moments() == pytest.approx(exact, rel=1e-12)
    assert FeatureMatrix.open(tmp_path / "many.npy").moments() == pytest.approx(exact, rel=1e-12)


def test_moments_of_what_is_seen(file):
    matrix = FeatureMatrix.open(file)
    assert matrix.scaled(*matrix.moments()).moments() == pytest.approx((0.0, 1.0), abs=1e-6)


def test_newer_header(tmp_path, numbers):
    with (tmp_path / "new.npy").open("wb") as out:
        np.lib.format.write_array(out, numbers, version=(2, 0))
    np.testing.assert_array_equal(together(FeatureMatrix.open(tmp_path / "new.npy")), numbers)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 2)), np.zeros(3, np.float32), np.zeros((3, 2), np.float32, order="F")], ids=str
)
def test_refuses_other_arrays(tmp_path, array):
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(RequestError, match=r"must hold float32 .N, D. row by row"):
        FeatureMatrix.open(tmp_path / "other.npy")


def test_refuses_what_is_not_an_array(tmp_path):
    (tmp_path / "text.npy").write_text("not at all")
    with pytest.raises(RequestError, match=r"is not a .npy file"):
        FeatureMatrix.open(tmp_path / "text.npy")


def test_a_file_cut_short(file):
    file.write_bytes(file.read_bytes()[:-10])
    matrix = FeatureMatrix.open(file)
    with pytest.raises(RunError, match="ends before row 101 of 101"):
        together(matrix, 20)
