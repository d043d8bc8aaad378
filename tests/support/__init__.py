"""Helpers that several tests share: small studies, stubs, faults, clusters."""
