"""Tasks, one per file: sequences, loss, metric, memoryless baseline and the rule for "solved"."""
