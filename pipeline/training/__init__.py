"""Fine-tuning: patches, losses, checkpoints, and the loop."""
