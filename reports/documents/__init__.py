"""Whole pages: the report, the comparison of two studies, the index, the live page."""
