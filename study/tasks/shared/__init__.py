"""Helpers shared by tasks; a task imports these and no other task."""
