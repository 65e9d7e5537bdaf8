"""Averages of trained weights: what they are made of, the rules, and what they are worth on every set."""
