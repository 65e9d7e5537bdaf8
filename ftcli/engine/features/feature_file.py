"""The features of a set as a file for other programs: .npy, or .parquet with the examples they belong to."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.arrow import number_array, text_array
from ftcli.engine.features.feature_cache import write_blocks
from ftcli.engine.features.feature_matrix import FeatureMatrix

FORMS = (".npy", ".parquet")


def write_features(path: Path, matrix: FeatureMatrix, examples: Sequence[str]) -> None:
    """Write a matrix [N, D] and, to .parquet, the id of each of its N rows; a block of rows is in memory at a time."""
    if path.suffix == ".parquet":
        _write_parquet(path, matrix, examples)
    else:
        write_blocks(path, matrix.shape, (block for _, block in matrix.blocks()))


def _write_parquet(path: Path, matrix: FeatureMatrix, examples: Sequence[str]) -> None:
    """The columns `example`, text, and `features`, a list of D float32."""
    D = matrix.shape[1]
    schema = pa.schema([("example", pa.string()), ("features", pa.list_(pa.float32(), D))])
    with pq.ParquetWriter(path, schema) as writer:
        for rows, block in matrix.blocks():
            flat = number_array(block.cpu().numpy().reshape(-1))
            features = pa.FixedSizeListArray.from_arrays(flat, D)
            writer.write_table(pa.table([text_array(examples[rows]), features], schema=schema))
