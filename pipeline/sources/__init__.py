"""Downloads from the package index, web servers, S3 and the local file system, with checksums."""
