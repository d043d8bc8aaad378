"""Train every combination of a recurrent recipe, measure how gradients travel, keep the results."""

__version__ = "0.1.0"
