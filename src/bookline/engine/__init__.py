"""Durable running of the workflow: attempts and waits, the DBOS engine, recovery, retention."""
