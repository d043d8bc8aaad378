"""Kernels compiled for the CPU by Numba, one member at a time, so that a step stays in the cache.

The examples of a batch occupy the lanes of vector registers (vectors.py), with which the products
(products.py) and the element-wise code between them are written. Each member is computed
separately: its numbers do not depend on the others, and a single member need not be doubled.
"""
