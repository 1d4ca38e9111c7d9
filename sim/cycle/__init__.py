"""The tile-level cycle engine: a mapped cascade as nests of ops, and the time that it really takes."""
