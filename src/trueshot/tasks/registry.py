"""Tasks by name: the built-in ones, and those in the user's own files."""

from __future__ import annotations

from dataclasses import replace

from trueshot.errors import TaskError
from trueshot.plugins import is_plugin, load_plugin
from trueshot.tasks import double_jpeg, manipulation, median_filtering
from trueshot.tasks.camera_model import CAMERA_MODEL
from trueshot.tasks.double_jpeg import DOUBLE_JPEG
from trueshot.tasks.manipulation import MANIPULATION
from trueshot.tasks.median_filtering import MEDIAN_FILTERING
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.recompression import RECOMPRESSION
from trueshot.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (RECAPTURE, MEDIAN_FILTERING, RECOMPRESSION, DOUBLE_JPEG, MANIPULATION)
}
VARIANTS: dict[str, Task] = {
    task.name: task
    for module in (median_filtering, double_jpeg, manipulation)
    for task in module.VARIANTS
}
"""Variants of the tasks above, each with one published setting."""

_ALL = TASKS | VARIANTS


def task_named(spec: str) -> Task:
    """Return a built-in task, or load one from a file: `path/to/file.py:NAME`, which is run.

    Raises:
        TaskError: The task is unknown, or the file does not define a task.
        PluginError: The file is missing, fails, or does not define the name.
    """
    if spec in _ALL:
        return _ALL[spec]
    if not is_plugin(spec):
        raise TaskError(
            f"unknown task {spec!r}; choose one of {', '.join(_ALL)}, or path/to/file.py:NAME"
        )
    plugin = load_plugin(spec)
    if not isinstance(plugin.value, Task):
        raise TaskError(f"{spec}: must be a Task, got {type(plugin.value).__name__}")
    if plugin.value.name in (*_ALL, CAMERA_MODEL):
        raise TaskError(
            f"{spec}: a built-in task is already called {plugin.value.name}; choose another name"
        )
    return replace(plugin.value, code=plugin.sha256)
