"""This machine: its memory, and processes that never outlive their parent."""
