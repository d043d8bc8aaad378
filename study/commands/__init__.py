"""The command gradient-study: one name for all modules that can be started by `python -m`."""
