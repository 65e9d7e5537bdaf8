"""Where runs start: a copy of the body, a fresh head, on the machine."""

from copy import deepcopy

from torch import nn

from ftcli.engine.setting import Setting
from ftcli.model.head import fresh_head


def fresh_start(body: nn.Module, setting: Setting, seed: int) -> nn.Module:
    """A copy of `body` under a head drawn for `seed`; one rule for every method that starts from a fresh head."""
    model = deepcopy(body)
    fresh_head(model, setting.num_classes, seed)
    return setting.machine.place(model)
