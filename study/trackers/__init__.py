"""Sinks of finished points, one a file. Never a dependency: the study goes on without them."""
