"""The norms of a probed head, before and after it is scaled and trained."""

from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.types import HeadNorms
from ftcli.methods.initial_head import norms_of_head
from ftcli.model.head import Head, head_of
from ftcli.model.loading.load import Loaded


def describe_heads(trained: Trained, loaded: Loaded, inputs: RunInputs) -> dict[str, HeadNorms] | None:
    """Those of the method, and of the saved model's head; None where no head was probed first."""
    if not trained.heads:
        return None
    name, state = head_of(loaded.model).name, trained.best.state
    saved = Head(name, state[f"{name}.weight"].flatten(1), state[f"{name}.bias"])
    return trained.heads | {"saved": norms_of_head(saved, inputs)}
