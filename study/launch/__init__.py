"""Plan a study, run what is missing, and report what came out."""
