"""Commands of `brainsr`, one module each."""
