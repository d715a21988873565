"""Code that a user could write instead of using `SafeClient`."""


class RefusedError(Exception):
    """A refused request, with the cause that this code found."""

    def __init__(self, code: str, advice: str) -> None:
        super().__init__(f"{code}: {advice}")
        self.code = code
