"""How far a network has followed a stream: put into a state, and taken from there."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ftcli.engine.resume.checkpointer import Checkpointer, Part


class Passage:
    """The answers along a stream so far; with those of an earlier start, where the journal has its state.

    Attributes:
        done: pieces that are answered. learned: what the network has become by then, from the state, by name.
        again: [N, K], the answers of the weights at the end, in the set's order, once they are known.
    """

    def __init__(self, checkpointer: Checkpointer | None, name: str, device: torch.device) -> None:
        self.checkpointer, self.name = checkpointer, name
        self.done = 0
        self.rows, self.answers = list[Tensor](), list[Tensor]()
        self.again: Tensor | None = None
        self.learned: dict[str, Tensor] = {}
        self.changed = False  # since its state
        if checkpointer:
            checkpointer.attended = True
            if part := checkpointer.find(name):
                with checkpointer.trusting(name):
                    self.go_to(part, device)

    def go_to(self, part: Part, device: torch.device) -> None:
        """Stand where a state says."""
        self.done = part.said["done"]
        rows, answers = part.tensors["rows"], part.tensors["answers"]
        if not (isinstance(self.done, int) and self.done > 0 and rows.ndim == 1 and len(answers) == len(rows)):
            raise ValueError("pieces, examples and answers do not fit")
        self.rows, self.answers = [rows], [answers.to(device)]
        self.again, self.learned = part.tensors.get("again"), part.under("learned.")

    def step(self, rows: Tensor, answers: Tensor, learned: Callable[[], Mapping[str, Tensor]]) -> None:
        """One piece is answered: examples [b], logits [b, K]. Raises Stopped where that is wished."""
        self.rows.append(rows)
        self.answers.append(answers)
        self.done += 1
        self.changed = True
        if self.checkpointer and self.checkpointer.due():
            self.save({f"learned.{name}": tensor for name, tensor in learned().items()})

    def ended(self, again: Tensor | None) -> None:
        """All is answered, and the weights are needed no more. Raises Stopped where that is wished."""
        self.changed |= self.again is None and again is not None
        if self.checkpointer:
            if self.changed and self.checkpointer.due_at_epoch():
                self.save({} if again is None else {"again": again})
            self.checkpointer.rest()

    def save(self, more: Mapping[str, Tensor]) -> None:
        assert self.checkpointer is not None
        found = {"rows": torch.cat(self.rows), "answers": torch.cat(self.answers)}
        self.checkpointer.save(self.name, found | dict(more), {"done": self.done})
        self.checkpointer.check()
