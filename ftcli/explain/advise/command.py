"""The command `advise`."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ftcli.console.answer import Answer
from ftcli.context import open_context
from ftcli.engine.batchnorm import has_statistics
from ftcli.errors import RequestError
from ftcli.explain.advise.label_shift import correction
from ftcli.explain.advise.measure import Measured, measure_target
from ftcli.explain.advise.next_command import next_command
from ftcli.explain.advise.options import TARGET, UNLABELLED, Advise
from ftcli.explain.advise.types import Advice
from ftcli.measures.results import results_from
from ftcli.model.head import head_of, set_linear_layers
from ftcli.model.loading.from_options import load_with_head
from ftcli.model.loading.save import save_model
from ftcli.processes import process_count


def advise(config: Advise) -> Answer:
    """`advise`: which kind of shift lies between ID-val and a target, and which blocks to tune on it."""
    if process_count() > 1:
        raise RequestError("advise is one process.", "start it as one process")
    with open_context(config) as context:
        log = context.log
        loaded = load_with_head(config, config.checkpoint, log)
        task = replace(context.task(loaded), id_test=None)
        inputs = context.inputs(task, loaded.data_config)
        model = context.machine.place(loaded.model)
        measured = measure_target(model, inputs, config.seed, log)
        logits = {name: torch.from_numpy(of_set.logits) for name, of_set in measured.passed.items()}
        save = None
        if measured.decision.shift == "label":
            added = correct_head(model, measured, len(task.classes))
            logits = {name: values + added for name, values in logits.items()}
            save = partial(save_model, loaded=loaded, model=model, label_names=task.classes)
        results = results_from(logits, task, config.seed, log)
        labelled = TARGET in task.sets() and task.sets()[TARGET].labelled
        command = next_command(
            config, measured.decision, context.folder, labelled=labelled, batch_norm=has_statistics(model)
        )
        decision = measured.decision
        advice = Advice(
            shift=decision.shift, sure=decision.sure, rule=decision.rule, blocks=decision.blocks,
            reason=decision.reason, evidence=measured.evidence, command=command,
        )  # fmt: skip
        return context.answer(task, loaded, [results], parts={"advice": advice}, save_weights=save)


def correct_head(model: nn.Module, measured: Measured, K: int) -> Tensor:
    """Add log q/p to the biases of the model's head, q the target's class shares by EM; gives it, float32 [K].

    A class that the target lacks counts as half an image of it.
    """
    labels, n = measured.evidence.label_shift, measured.evidence.n
    source, q = (np.array(list(shares.values())) for shares in (labels.source, labels.em))
    m = n[UNLABELLED] if UNLABELLED in n else n[TARGET]
    added = np.full(K, correction(np.zeros(1), np.full(1, 1 / K), m)[0])
    added[measured.covered] = correction(q, source, m)
    whole = torch.from_numpy(added).float()
    head = head_of(model)
    parts = [part for group in head.groups for part in group.parts]
    set_linear_layers(model, [(part.weight, part.bias + whole.to(part.bias)) for part in parts])
    return whole
