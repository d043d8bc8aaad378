"""Train every combination of a recurrent recipe and measure how its gradients travel."""
