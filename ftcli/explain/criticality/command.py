"""The command `criticality`."""

from dataclasses import replace

from ftcli.config import Criticality
from ftcli.console.answer import Answer
from ftcli.engine.predict import passes
from ftcli.errors import RequestError, RunError
from ftcli.explain.criticality.measure import images_for, measure_criticality
from ftcli.explain.criticality.tables import panels
from ftcli.explain.models import same_architecture, study_of
from ftcli.figures.plots import save_panels
from ftcli.processes import process_count
from ftcli.run_folder.request import digest_of, request_of
from ftcli.run_folder.unfinished import finished, held, shown


def criticality(config: Criticality) -> Answer:
    """`criticality`: how far back to A, and how roughly, each block of B can be moved before the error grows."""
    if process_count() > 1:
        raise RequestError("criticality moves the weights of one process.", "start it as one process")
    done = finished(config)
    with study_of(config, judge=1, headless=True, done=done is not None) as study:
        same_architecture(study)
        request = request_of(config, study.task, study.loaded, study.machine)
        if done is not None:
            return shown(done, request, config)
        A, B = study.models
        start = {name: parameter.detach() for name, parameter in A.named_parameters()}
        images = images_for(study.experiment, config.images, config.seed)
        if not next(passes(A, images, study.machine, study.log, "")).logits.isfinite().all():
            raise RunError("the outputs of A are not all finite numbers.", "give a model that works")
        with held(study.folder, request, config, study.machine, study.log) as (folder, checkpointer):
            experiment = replace(study.experiment, checkpointer=checkpointer)
            found = measure_criticality(B, start, images, experiment, config, study.log)
            answer = study.answer({"request": digest_of(request), "criticality": found}, folder=folder)
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer
