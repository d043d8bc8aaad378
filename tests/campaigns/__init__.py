"""Long campaigns, each a make target: chaos, fuzz, load, cluster limits."""
