"""Why was a request rejected, and what may be done? No network, clock, or files."""
