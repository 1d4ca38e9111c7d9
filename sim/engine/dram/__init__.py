"""Compiled loops of the DRAM model."""
