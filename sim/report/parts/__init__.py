"""Building blocks of all reports: files, units, HTML, bars and labels."""
