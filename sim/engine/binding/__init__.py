"""Compiled loops of the binding search."""
