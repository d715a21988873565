"""Why was a request rejected, and what may be done about it? No network, clock, or files."""
