"""From a study's folder to one HTML page. Reads the store, never torch."""
