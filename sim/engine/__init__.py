"""Compiled engines: loops over flat arrays that count, time and execute; no noun and no name enters here."""
