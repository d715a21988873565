"""What a key, an address or a request tells by itself. Pure functions."""
