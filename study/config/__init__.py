"""From a composed configuration to what it means: composition, pieces, checks."""
