"""A layer of study/cells/NAME.py by a kernel is NAME.py here, with `layer(cell, params, x)`."""
