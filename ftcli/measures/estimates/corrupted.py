"""What a model puts out for ID-val under every corruption: the sets of known accuracy of the nuclear norm."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from ftcli.config.details.estimates import MOST_CORRUPTED
from ftcli.data.loader import Loader
from ftcli.data.shifts.shift import CORRUPTION_NAMES, SEVERITIES, Shift
from ftcli.engine.features.feature_cache import feature_key, network_digest
from ftcli.engine.predict import passes
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.measures.estimates.estimate import CorruptedSet
from ftcli.seeds import derive_seed


def corrupted_id_val(model: nn.Module, inputs: RunInputs, log: Log) -> CorruptedSet:
    """The logits on at most 500 random images of ID-val under each corruption at each severity: 95 passes, whose
    results are kept in the cache. Raises RequestError where the images of ID-val are corrupted already.
    """
    loader = inputs.sets["id_val"]
    if loader.data.shift is not None:
        raise RequestError(
            f"--estimate nuclear corrupts the images of ID-val, and those of {loader.data.spec} are corrupted already.",
            "leave nuclear out, or give an --id-val without shift=",
        )
    rows = np.random.default_rng(derive_seed("corrupted")).permutation(loader.n)[:MOST_CORRUPTED]
    data, digest = loader.data.select(np.sort(rows)), network_digest(model)
    logits = {}
    for name in CORRUPTION_NAMES:
        for severity in SEVERITIES:
            shifted = loader.uncached(replace(data, shift=Shift(name, severity)))
            logits[name, severity] = _logits(model, shifted, digest, inputs, f"ID-val, {name}:{severity}", log)
    return CorruptedSet(data.labels, logits)


def _logits(model: nn.Module, loader: Loader, digest: str, inputs: RunInputs, label: str, log: Log) -> np.ndarray:
    """The logits [n, K] of one pass, or of an earlier one of the same network over the same images."""
    cache, shape = inputs.feature_cache, (loader.n, inputs.num_classes)

    def blocks() -> Iterator[Tensor]:
        return (outputs.logits for outputs in passes(model, loader, cache.machine, log, label))

    stored = None
    if cache.stores(model):
        stored = cache.from_disk(feature_key(f"logits of {digest}", loader, cache.machine), shape, blocks)
    matrix = stored or cache.compute(shape, blocks)
    return np.concatenate([block.cpu().numpy().copy() for _, block in matrix.blocks()])
