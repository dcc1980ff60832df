"""What made a result, and how to repeat it."""
