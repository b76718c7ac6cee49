"""Tasks, which define what a detector decides. The user's own files can add tasks."""

from trueshot.tasks.registry import TASKS, VARIANTS, task_named
from trueshot.tasks.task import Examples, Pixels, Task, Wording

__all__ = ["TASKS", "VARIANTS", "Examples", "Pixels", "Task", "Wording", "task_named"]
