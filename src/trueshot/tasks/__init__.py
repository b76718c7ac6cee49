"""Tasks: what a detector decides. Recapture is one of them; a file of one's own adds another."""

from trueshot.tasks.registry import TASKS, VARIANTS, task_named
from trueshot.tasks.task import Examples, Pixels, Task, Wording

__all__ = ["TASKS", "VARIANTS", "Examples", "Pixels", "Task", "Wording", "task_named"]
