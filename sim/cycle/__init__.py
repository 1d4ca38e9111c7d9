"""The tile-level cycle engine: a mapped cascade as nests of ops, and its actual time."""
