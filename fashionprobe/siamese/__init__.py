"""Siamese networks: triplets, their losses, batches of them, and what the embeddings are worth."""
