"""The ground floor: files written whole or not at all, and read with a clear message."""
