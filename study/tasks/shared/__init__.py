"""What several tasks share; a task imports these and no other task."""
