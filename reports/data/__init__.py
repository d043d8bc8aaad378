"""What a report reads: the points of a study as frames."""
