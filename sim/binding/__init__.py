"""The binding search: when every Einsum of a mapped cascade runs, found by modulo scheduling."""
