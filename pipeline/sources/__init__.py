"""Downloads from the package index, web servers and the local file system, with checksums."""
