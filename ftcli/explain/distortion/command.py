"""The command `distortion`."""

from msgspec.structs import replace

from ftcli.console.answer import Answer
from ftcli.explain.distortion.measure import Extras, NamedModel, compare_models
from ftcli.explain.distortion.options import Distortion
from ftcli.explain.distortion.tables import panels
from ftcli.explain.models import check_same_architecture, compared_models, order_heads
from ftcli.figures.plots import save_panels
from ftcli.methods.initial_head import class_names


def distortion(config: Distortion) -> Answer:
    """`distortion`: how far the features and weights of each model lie from those of the first."""
    with compared_models(config, labelled=False) as compared:
        check_same_architecture(compared)
        extras = Extras(config.k, config.matrix, config.unbiased, config.seed)
        heads = order_heads(compared, class_names(compared.loaded[0]))
        first, *rest = map(NamedModel, compared.names, compared.models, heads)
        second, *further = compare_models(first, rest, compared.inputs, extras, compared.log)
        others = [replace(distance, label=name) for name, distance in zip(compared.names[2:], further, strict=True)]
        answer = compared.answer({**second, "others": others})
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer
