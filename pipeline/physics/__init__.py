"""How instruments coarsen an image: forward models, and the grid that everything shares."""
