from .runner import Settings as Settings, Summary as Summary, scan as scan
from .verdict import Verdict as Verdict, exit_status as exit_status
