"""The commands, a file a panel. Each is thin and imports what it needs when it runs, so that --help answers at once."""
