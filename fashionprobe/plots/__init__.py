"""Figures, drawn with matplotlib and returned as `Figure`."""
