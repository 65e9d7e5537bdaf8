"""The command `distortion`."""

from ftcli.console.answer import Answer
from ftcli.explain.distortion.measure import Side, Wanted, apart
from ftcli.explain.distortion.options import Distortion
from ftcli.explain.distortion.tables import distortion_panels
from ftcli.explain.models import check_same_architecture, compared_models, order_heads
from ftcli.figures.plots import save_panels
from ftcli.methods.initial_head import class_names


def distortion(config: Distortion) -> Answer:
    """`distortion`: how far the features and weights of each model lie from those of the first."""
    with compared_models(config, labelled=False) as compared:
        check_same_architecture(compared)
        wanted = Wanted(config.k, config.matrix, config.unbiased, config.seed)
        heads = order_heads(compared, class_names(compared.loaded[0]))
        first, *rest = map(Side, compared.names, compared.models, heads)
        changes = apart(first, rest, compared.experiment, wanted, compared.log)
        others = [{"label": name, **parts} for name, parts in zip(compared.names[2:], changes[1:], strict=True)]
        answer = compared.answer(changes[0] | {"others": others})
        if config.plot:
            save_panels(config.plot, distortion_panels(answer.content))
        return answer
