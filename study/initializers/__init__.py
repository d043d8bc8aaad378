"""Initial values of weights, gate block by gate block, one rule a file."""
