"""Accuracy on a set without labels, estimated from the logits there and from those of a labelled set."""
