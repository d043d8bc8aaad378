"""What several cells share."""
