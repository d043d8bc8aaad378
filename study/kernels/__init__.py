"""Kernels that compute a layer over [M, T, B, ·]: the reference, and faster ones that equal it."""
