"""A job's story to its watchers, over WebSocket and Server-Sent Events."""
