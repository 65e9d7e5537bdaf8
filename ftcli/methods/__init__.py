"""The methods, one file each: which tensors move, from which head, in what order. None of them owns a loop.

A method is a function (loaded, setting, config, log) -> Trained.
"""

from collections.abc import Callable

from ftcli.config import Training
from ftcli.engine.experiment import Experiment
from ftcli.engine.grid import Trained
from ftcli.log import Log
from ftcli.methods.finetune import finetune
from ftcli.methods.lpft import lpft
from ftcli.methods.probe import probe
from ftcli.methods.surgical import surgical
from ftcli.model.loading.load import Loaded

Method = Callable[[Loaded, Experiment, Training, Log], Trained]

METHODS: dict[str, Method] = {"probe": probe, "finetune": finetune, "lpft": lpft, "surgical": surgical}
