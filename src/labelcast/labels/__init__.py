"""What people label: examples, sessions, and the files of other labelling tools."""
