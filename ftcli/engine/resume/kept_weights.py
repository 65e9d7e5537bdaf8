"""The weights that a finished run puts forward, read from its saved state one tensor at a time."""

from collections.abc import Iterator, Mapping

from safetensors import safe_open
from torch import Tensor

from ftcli.engine.resume.checkpointer import Checkpointer, Unusable
from ftcli.engine.resume.position import PICKED


class KeptWeights(Mapping[str, Tensor]):
    """The weights of a run by name, on the CPU.

    rest: the tensors of the network, in its order; those that no step of the run changes are taken from here, as a
    state does not hold them. Raises Unusable where the state is missing or damaged.
    """

    def __init__(self, checkpointer: Checkpointer, run: str, rest: Mapping[str, Tensor]) -> None:
        if checkpointer.find(run) is None:  # every byte of it is checked
            raise Unusable(f"the saved state of {run} is gone.", "--overwrite to begin anew, or another --out")
        self.file, self.rest = safe_open(checkpointer.path(run), framework="pt"), rest
        self.saved = set(self.file.keys())

    def __getitem__(self, name: str) -> Tensor:
        key = PICKED + name
        return self.file.get_tensor(key) if key in self.saved else self.rest[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rest)

    def __len__(self) -> int:
        return len(self.rest)
