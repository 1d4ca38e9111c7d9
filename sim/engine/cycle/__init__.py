"""Compiled loops of the cycle engine, tile by tile."""
