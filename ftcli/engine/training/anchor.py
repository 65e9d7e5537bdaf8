"""Penalties on the distance from the starting weights θ⁰: L2-SP (Li et al. 2018) and its L1 form."""

from collections.abc import Iterable

from torch import Tensor, nn


class AnchorPenalty:
    """l2 · ‖θ - θ⁰‖² + l1 · ‖θ - θ⁰‖₁ over the given parameters, θ⁰ being the values that they have now.

    Its gradient is added directly, not through the loss.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], l2: float, l1: float) -> None:
        self.l2, self.l1 = l2, l1
        self.anchored: list[tuple[nn.Parameter, Tensor]] = []
        if l2 or l1:
            self.anchored = [(parameter, parameter.detach().clone()) for parameter in parameters]

    def add_gradients(self) -> None:
        """Add the penalty's gradient to the parameters that have one now."""
        for parameter, start in self.anchored:
            if parameter.grad is None:
                continue
            difference = parameter.detach() - start
            parameter.grad.add_(difference, alpha=2 * self.l2)
            if self.l1:
                parameter.grad.add_(difference.sign(), alpha=self.l1)
