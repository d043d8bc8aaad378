"""The design of a study without its data: claims, power, ranking. Needs no torch."""
