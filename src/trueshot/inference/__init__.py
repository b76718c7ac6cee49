"""From the pixels of a photograph to a verdict: crops, scores, likelihood ratio, reasons."""

from trueshot.inference.predictor import Prediction, Predictor, load

__all__ = ["Prediction", "Predictor", "load"]
