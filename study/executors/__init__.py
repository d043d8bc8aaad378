"""Where groups run, one kind of place a file."""
