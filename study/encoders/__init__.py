"""Encoders, one a file: from what a task gives at a step to what the first layer reads."""
