"""Compiled engines: loops over flat arrays that count, time and execute; they see neither nouns nor names."""
