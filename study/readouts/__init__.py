"""Readouts, one per file: from the top layer's states to outputs."""
