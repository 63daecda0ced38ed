"""What several commands open: networks, images, descriptors, indexes, masks, classifiers and embeddings."""
