"""DRAM time, command by command."""
