"""The PE level: a rectangular array cycle by cycle, with real values."""
