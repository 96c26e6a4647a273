"""HTTP in: routes, the envelope, errors to status, keys, tokens, rate limits."""
