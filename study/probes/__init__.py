"""Scheduled measurements, one a file. Each sees a Trace and changes nothing."""
