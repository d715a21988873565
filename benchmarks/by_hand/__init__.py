"""What a user would write by hand in place of `SafeClient`."""


class RefusedError(Exception):
    """A refusal with the cause that was found by hand."""

    def __init__(self, code: str, advice: str) -> None:
        super().__init__(f"{code}: {advice}")
        self.code = code
