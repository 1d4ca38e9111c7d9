"""The flow from a design to a result, and what a result says."""
