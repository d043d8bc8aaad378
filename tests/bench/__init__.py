"""make bench: what this program costs against what a user would do otherwise.

Ratios side by side in one run; never part of the tests.
"""
