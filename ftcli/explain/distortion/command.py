"""The command `distortion`."""

from msgspec.structs import replace

from ftcli.config import Distortion
from ftcli.console.answer import Answer
from ftcli.explain.distortion.measure import Extras, NamedModel, compare_models
from ftcli.explain.distortion.tables import panels
from ftcli.explain.models import heads_in_order, same_architecture, study_of
from ftcli.figures.plots import save_panels
from ftcli.methods.start import class_names


def distortion(config: Distortion) -> Answer:
    """`distortion`: how far the features and weights of each model lie from those of the first."""
    with study_of(config, labelled=False) as study:
        same_architecture(study)
        extras = Extras(config.k, config.matrix, config.unbiased, config.seed)
        heads = heads_in_order(study, class_names(study.loaded[0]))
        first, *rest = map(NamedModel, study.names, study.models, heads)
        second, *further = compare_models(first, rest, study.experiment, extras, study.log)
        others = [replace(distance, label=name) for name, distance in zip(study.names[2:], further, strict=True)]
        answer = study.answer({**second, "others": others})
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer
