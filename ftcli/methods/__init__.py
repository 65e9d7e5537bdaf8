"""The methods, one file each: which tensors train, from which head, in what order. None of them owns a loop.

A method is a function (loaded, inputs, config, log) -> Trained, and a row in commands.py.
"""
