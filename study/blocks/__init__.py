"""What may surround the recurrence of every layer."""
