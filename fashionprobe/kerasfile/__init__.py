"""Opening `.keras` and HDF5 files that a stranger may have written: judged and measured before Keras sees them."""
