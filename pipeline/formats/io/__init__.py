"""Read and write the images of a run: extracted volumes, the files between steps, and predictions."""
