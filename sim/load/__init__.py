"""From YAML to nouns: documents, structure, scalars, names, overrides, catalogs."""
