"""Text to vector, by product; ``open_embedder`` chooses."""
