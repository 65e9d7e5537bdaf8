"""The command `distortion`."""

from ftcli.config import Distortion
from ftcli.console.answer import Answer
from ftcli.explain.distortion.measure import Side, Wanted, apart
from ftcli.explain.distortion.tables import distortion_panels
from ftcli.explain.models import heads_in_order, same_architecture, study_of
from ftcli.figures.plots import save_panels
from ftcli.methods.initial_head import class_names


def distortion(config: Distortion) -> Answer:
    """`distortion`: how far the features and weights of each model lie from those of the first."""
    with study_of(config, labelled=False) as study:
        same_architecture(study)
        wanted = Wanted(config.k, config.matrix, config.unbiased, config.seed)
        heads = heads_in_order(study, class_names(study.loaded[0]))
        first, *rest = map(Side, study.names, study.models, heads)
        found = apart(first, rest, study.experiment, wanted, study.log)
        others = [{"label": name, **one} for name, one in zip(study.names[2:], found[1:], strict=True)]
        answer = study.answer(found[0] | {"others": others})
        if config.plot:
            save_panels(config.plot, distortion_panels(answer.content))
        return answer
