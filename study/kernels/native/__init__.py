"""Kernels compiled for the processor (Numba): a member at a time, its step's values never leave the
cache.

The examples of a batch lie side by side in the lanes of vectors (vectors.py); products
(products.py) and what lies between them are written with these. A member is computed by itself, so
its numbers do not depend on its company, and a lone one is not doubled.
"""
