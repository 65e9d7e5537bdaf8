"""Options of averages of trained weights."""
