"""Tables and pictures of one design."""
