"""What was found: one module per question, each returning frames and sentences' numbers."""
