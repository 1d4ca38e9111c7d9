"""The commands of `einfuse`: arguments in, calls out. What only one command needs is imported inside it."""
