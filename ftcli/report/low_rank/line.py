"""The layers that trained by matrices of low rank, as one line below the tables."""

import re

from ftcli.engine.types import LowRankLayers
from ftcli.safe_text import counted


def low_rank_line(trained: LowRankLayers) -> str:
    """Rank, layers with * for their numbers, and how many were left out."""
    names = ", ".join(dict.fromkeys(re.sub(r"\d+", "*", path) for path in trained.layers))
    layers = counted(len(trained.layers), "layer", "layers")
    line = f"LoRA of rank {trained.rank}, α {trained.alpha}, {trained.parameters:,} numbers beside {layers}: {names}"
    left_out = "; ".join(f"{len(paths):,} ({why})" for why, paths in trained.left_out.items())
    return f"{line}; left out: {left_out}" if left_out else line
