"""Sequential statistics of a race between arms. Imports numpy, scipy and the design of a study."""
