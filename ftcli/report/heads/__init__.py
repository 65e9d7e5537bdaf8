"""The report's `heads`: norms of the probed head, of what training starts from and of what is saved."""
