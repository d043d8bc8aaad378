"""Measure a network of your own, outside a study: gradient_profile and watch."""
