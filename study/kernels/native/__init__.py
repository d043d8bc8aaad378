"""Kernels compiled for the processor (Numba): a member at a time, its step's values never leave the cache.

Matrix products are BLAS's; what lies between them is one pass a row. A member is computed by itself, so its numbers do
not depend on its company, and there is nothing to pad or to double.
"""
