"""Options of the methods that train the head alone, and take no steps."""
