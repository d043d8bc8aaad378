"""Initializers, one per file: initial weights, gate block by gate block."""
