"""What networks of forensic papers have in common: a filter, convolutions, connected layers."""

from __future__ import annotations

from torch import Tensor, nn

from trueshot.networks.layers import check_classes, check_side
from trueshot.networks.registry import Explained, Network


class FilterFirst(Network):
    """Squares of one side are filtered; convolutions follow, then connected layers.

    A subclass says what `filtered` is, and sets `units` and `classifier`; where its `picture` is
    "filtered", what the filter gives is shown.

    Args:
        side: Height and width of the images.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes.
    """

    units: nn.Sequential
    classifier: nn.Sequential

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.side = side
        self.classes = check_classes(classes)

    def filtered(self, images: Tensor) -> Tensor:
        """What convolutions are given of images (n, 3, side, side)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Levels of shape (n, 3, side, side) to logits of shape (n, classes)."""
        return self.explained(images).logits

    def explained(self, images: Tensor) -> Explained:
        """Logits, and the filtered image; no evidence by place, for places are connected fully."""
        check_side(images, self.side)
        filtered = self.filtered(images)
        logits: Tensor = self.classifier(self.units(filtered))
        shown = filtered.expand(-1, 3, -1, -1) if self.picture == "filtered" else None
        return Explained(logits, first_layer=shown)


def connected(
    inputs: int,
    units: tuple[int, ...],
    classes: int,
    *,
    dropout: float | None = None,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Fully connected layers over all places of feature maps, each but the last with an activation.

    Args:
        inputs: Filters times places.
        units: Of the layers before the last.
        classes: Number of logits.
        dropout: After each of those; None: there is none, also no layer of it.
        activation: Of each of those.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for count in units:
        layers += [nn.Linear(inputs, count), activation()]
        layers += [] if dropout is None else [nn.Dropout(dropout)]
        inputs = count
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
