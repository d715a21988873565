"""The only place that touches langsmith's private names."""
