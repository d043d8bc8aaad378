"""How a layer's recurrence is computed over [M, T, B, ·]: the plain reference, and faster ones that
must equal it.
"""
