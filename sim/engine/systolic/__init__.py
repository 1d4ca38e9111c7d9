"""Compiled loops of the arrays, element by element."""
