"""Charts and the page of a sweep."""
