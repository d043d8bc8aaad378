"""What several probes share; a probe imports these and no other probe."""
