"""The commands of `einfuse`, one module each: options in, calls out, answers printed."""
