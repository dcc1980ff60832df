"""Restoration of volumes by networks: tiles, backends, test-time augmentation."""
