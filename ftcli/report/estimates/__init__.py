"""Accuracies that were estimated without labels, as a table."""
