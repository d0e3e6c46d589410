"""What people label: the store, sessions, exchange formats, the page and the terminal."""
