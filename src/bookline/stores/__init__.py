"""Adapters by product: SQLite, obstore, Redis, memory."""
