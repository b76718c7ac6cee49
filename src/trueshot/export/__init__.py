"""Bundles made into files that other programs run."""

from trueshot.export.onnx_file import Exported, ExportError, export_onnx

__all__ = ["ExportError", "Exported", "export_onnx"]
