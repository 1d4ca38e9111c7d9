"""What happened when: a window of a cycle-level run, and the trace made of it."""
