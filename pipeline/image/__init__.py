"""Images in memory and on disk: the Image type, geometry, intensity, masks, and one module a file format."""
