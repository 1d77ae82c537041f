"""The outer loop: any task is trained by the same run, with checkpoints, selection and rollback. Knows no transport."""

__all__: list[str] = []
