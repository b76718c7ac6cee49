from .runner import Settings, Summary, scan
from .verdict import Verdict, exit_status

__all__ = ["Settings", "Summary", "Verdict", "exit_status", "scan"]
