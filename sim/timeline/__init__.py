"""Timelines: a window of a cycle-level run, and the trace made from it."""
