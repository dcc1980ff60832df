"""Forward models of image acquisition, noise estimation, data consistency, and the common grid."""
