"""From measurements of slices to statements: means, intervals that respect neighbouring slices, plain sentences."""
