"""Figures of the report pages: drawings, images and the data of the viewer."""
