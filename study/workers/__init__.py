"""Processes and jobs that train groups, here or on a cluster."""
