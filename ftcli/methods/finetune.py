"""Fine-tuning (Kumar et al. 2022; Neyshabur et al. 2020, P-T and RI-T): from a fresh head, or from one in a file."""

from copy import deepcopy
from dataclasses import replace

import timm
import torch
from torch import nn

from ftcli.config.training import Training
from ftcli.config.tuning import Finetune
from ftcli.engine.grid import Trained, search
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.methods.variants import low_rank_of, tuning_plan
from ftcli.model.head import head_of, set_head
from ftcli.model.head_weights import read_head_weights
from ftcli.model.loading.load import Loaded
from ftcli.seeds import derive_seed


def finetune(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """Each seed draws its own head, unless a file has one, and with `--init random` its own body too; the options say
    what trains.

    The rate and the epoch are picked per seed, on ID-val.
    """
    assert isinstance(config, Finetune)
    if given := config.head_weights:
        rows = read_head_weights(given, inputs.task.classes, head_of(loaded.model).width, log)  # [K, D]
        set_head(loaded.model, rows, torch.zeros(len(rows)))

    def start(seed: int) -> nn.Module:
        if given:
            return inputs.machine.place(deepcopy(loaded.model))
        body = random_body(loaded, seed) if config.init == "random" else loaded.model
        return copy_with_fresh_head(body, inputs, seed)

    plan = tuning_plan(loaded.model, config, low_rank_of(loaded, config, log))
    tuned = search(start, plan, config, inputs, log)
    return replace(tuned, own_heads=not given)


def random_body(loaded: Loaded, seed: int) -> nn.Module:
    """The same architecture with weights drawn by timm's own rule, from a generator seeded for them alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("body", seed))
        return timm.create_model(**loaded.create_args, pretrained=False)
