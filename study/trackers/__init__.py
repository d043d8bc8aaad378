"""Where finished points are logged besides the store, one file per tracker; none is required."""
