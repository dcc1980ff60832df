"""Commands that a person types, one module each."""
