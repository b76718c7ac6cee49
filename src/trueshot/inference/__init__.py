"""Judges photographs: from pixels to crops, scores, likelihood ratio, verdict and reasons."""

from trueshot.inference.predictor import Prediction, Predictor, load

__all__ = ["Prediction", "Predictor", "load"]
