"""Encoders, one per file: from a task's input at a step to the first layer's input."""
