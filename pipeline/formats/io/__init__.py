"""Images on disk: the files that steps hand to each other, and the super-resolved results."""
