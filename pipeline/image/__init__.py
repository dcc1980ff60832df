"""Images in memory: Image, geometry, intensity, masks, channels."""
