"""Recurrent cells, one per file."""
