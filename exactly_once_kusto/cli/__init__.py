"""The command line: thin doors to the rooms below. A command imports what it needs when it runs."""
