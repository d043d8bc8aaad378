"""How things are drawn: the theme and the figures that several sections share."""
