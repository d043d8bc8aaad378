"""The design of a study: claims, power, ranking. Does not import torch."""
