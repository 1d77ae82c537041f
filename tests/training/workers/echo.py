"""What a worker of the tests answers."""

import os


class Echo:
    """It registers what it is given, unless that is a fault, and tells it."""

    def register(self, value: str) -> None:
        if value == "fault":
            raise ValueError("nothing to register")
        self.value = value

    def registered(self) -> tuple[str, int]:
        return self.value, os.getpid()
