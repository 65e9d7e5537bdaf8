"""The norms of a probed head, before and after it is scaled and trained."""

from torch import nn

from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.types import HeadNorms
from ftcli.methods.initial_head import norms_of_head
from ftcli.model.head import head_of


def describe_heads(trained: Trained, saved: nn.Module, inputs: RunInputs) -> dict[str, HeadNorms] | None:
    """Those of the method, and of the saved model's head; None where no head was probed first."""
    if not trained.heads:
        return None
    return trained.heads | {"saved": norms_of_head(head_of(saved), inputs)}
