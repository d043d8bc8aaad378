"""Readouts, one a file: from the top layer's states to outputs."""
