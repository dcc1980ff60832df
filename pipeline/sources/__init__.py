"""Where data and weights come from: one module a kind of source."""
