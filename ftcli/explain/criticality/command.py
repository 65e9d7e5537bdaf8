"""The command `criticality`."""

from dataclasses import replace

from ftcli.console.answer import Answer
from ftcli.engine.predict import passes
from ftcli.errors import RequestError, RunError
from ftcli.explain.criticality.measure import images_for, measure_criticality
from ftcli.explain.criticality.options import Criticality
from ftcli.explain.criticality.tables import panels
from ftcli.explain.models import check_same_architecture, compared_models
from ftcli.figures.plots import save_panels
from ftcli.processes import process_count
from ftcli.run_folder.request import digest_of


def criticality(config: Criticality) -> Answer:
    """`criticality`: how far each block of B can be moved back to A, and how noisily, before the error grows."""
    if process_count() > 1:
        raise RequestError("criticality moves the weights of one process.", "start it as one process")
    with compared_models(config, reference=1, headless=True) as compared:
        check_same_architecture(compared)
        context, log = compared.context, compared.log
        request = context.request(compared.task, compared.loaded)
        if context.finished_report is not None:
            return context.finished_answer(compared.task)
        A, B = compared.models
        start = {name: parameter.detach() for name, parameter in A.named_parameters()}
        images = images_for(compared.inputs, config.images, config.seed)
        if not next(passes(A, images, context.machine, log, "")).logits.isfinite().all():
            raise RunError("the outputs of A are not all finite numbers.", "give a model that works")
        with context.locked_folder(request) as checkpointer:
            inputs = replace(compared.inputs, checkpointer=checkpointer)
            measured = measure_criticality(B, start, images, inputs, config, log)
            answer = compared.answer({"request": digest_of(request), "criticality": measured})
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer
