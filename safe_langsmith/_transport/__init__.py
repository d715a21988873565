"""From a rejected response to the decision and back, for requests and httpx."""
