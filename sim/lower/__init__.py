"""From nouns to the tables that engines read, once for each structure."""
