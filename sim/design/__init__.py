"""The design point: an experiment with every choice made, its parameters, and what is wrong with it."""
