"""Programs: the command line, and colour grading."""

__all__ = ()
