from agent.conftest import team
from support.project import project

__all__ = ["project", "team"]
