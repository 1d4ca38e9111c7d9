"""The flow from a design to a result, and the contents of a result."""
