"""The design point: an experiment with every choice made, its parameters, and diagnosis of its problems."""
