"""Train every combination of a recurrent recipe and measure how its gradients travel."""

__version__ = "0.1.0"
