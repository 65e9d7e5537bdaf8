"""Augmentation of training images: the kinds by name, and timm's policies with random numbers of an example's own."""
