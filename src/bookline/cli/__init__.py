"""The command line: a client of a server, or of a Bookline that runs in the command itself."""
