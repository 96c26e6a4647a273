"""How questions leave this process: HTTP with its guards, and the providers' turns."""
