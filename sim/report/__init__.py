"""Reports: results as tables, figures and pages. Reports read results, never engines."""
