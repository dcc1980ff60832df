"""The Brain Imaging Data Structure: file names, sidecars and .bidsignore."""
