"""Training: turns a recipe and a data set into a detector."""

from trueshot.training.loop import TrainingHistory, train
from trueshot.training.objectives import ObjectiveValue, differentiate, objective_value
from trueshot.training.recipe import Recipe, load_recipe, parse_recipe, recipe_names

__all__ = [
    "ObjectiveValue",
    "Recipe",
    "TrainingHistory",
    "differentiate",
    "load_recipe",
    "objective_value",
    "parse_recipe",
    "recipe_names",
    "train",
]
