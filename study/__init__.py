"""Train every combination of a recurrent recipe, measure how gradients travel, keep every result."""
