"""The command line's tests share one kind of project."""

from support.project import project, second

__all__ = ["project", "second"]
