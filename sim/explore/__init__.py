"""Exploration: sweeps of millions of points, searches, storage of results, and Pareto fronts.

A sweep file names an experiment and axes (`sweep`), becomes a plan (`plan`), is evaluated in chunks of columns (`bulk`)
by any executor (`executors`), and every finished point is a row of one SQLite file (`store`), which reports read
through `points`.
"""
