"""LP-FT (Kumar et al. 2022, section 3.4): probe the head first, then fine-tune everything from there."""

from copy import deepcopy
from dataclasses import replace

from ftcli.config.training import Training
from ftcli.config.tuning import Lpft
from ftcli.engine.grid import Trained, search
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.methods.initial_head import norms_of_head, scale_head
from ftcli.methods.probe import linear_probe
from ftcli.methods.variants import low_rank_of, tuning_plan
from ftcli.model.head import head_of
from ftcli.model.loading.load import Loaded


def lpft(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """The probe's head, scaled, is the same for every seed; a seed changes order and augmentation of the data."""
    assert isinstance(config, Lpft)
    plan = tuning_plan(loaded.model, config, low_rank_of(loaded, config, log))  # refusals before the probe
    probed = linear_probe(loaded, inputs, config, log)
    model = loaded.model  # its head is the probe's now
    heads = {"probe": norms_of_head(head_of(model), inputs)}
    if config.head_scale != 1:
        scale_head(model, config.head_scale)
        heads["start"] = norms_of_head(head_of(model), inputs)
    tuned = search(lambda seed: deepcopy(model), plan, config, inputs, log)
    return replace(tuned, earlier_stages={"probe": probed}, stage="finetune", heads=heads)
