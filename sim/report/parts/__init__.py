"""What all reports are made of: files, units, HTML, bars and labels."""
