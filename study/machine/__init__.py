"""This machine: its resources, its processes, and what identifies both."""
