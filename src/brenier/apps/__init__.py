"""Programs: the command line, and colour grading."""

__all__: list[str] = []
