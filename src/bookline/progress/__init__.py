"""Events as values, their fan-out to watchers, and what a late watcher needs."""
