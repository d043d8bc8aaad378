"""Helpers shared by probes; a probe imports these and no other probe."""
