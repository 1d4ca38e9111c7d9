"""A published evaluation as data: what it compares, how it is run, what was published."""
