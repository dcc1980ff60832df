"""Statistics of metrics: means, confidence intervals, tests, agreement, and conclusions in words."""
