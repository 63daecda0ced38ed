"""Correcting a trained network: an expert's masks of irrelevant regions change what it looks at."""
