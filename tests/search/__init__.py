"""Tests of study.search."""
