"""Cloudflare's products behind Bookline's ports. Adapters only: nothing is decided here."""
