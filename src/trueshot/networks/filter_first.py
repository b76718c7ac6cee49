"""Base class of networks from forensic papers: filter, convolutions, fully connected layers."""

from __future__ import annotations

from torch import Tensor, nn

from trueshot.networks.layers import check_classes, check_side
from trueshot.networks.registry import Explained, Network


class FilterFirst(Network):
    """A filter, convolutions and fully connected layers, for square images of one size.

    A subclass implements `filtered` and sets `units` and `classifier`. If its `picture` is
    "filtered", explanations show the output of the filter.

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
        """Return the input of the convolutions for images (n, 3, side, side)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, side, side)."""
        return self.explained(images).logits

    def explained(self, images: Tensor) -> Explained:
        """Return logits and filtered images; connected layers leave no evidence by position."""
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
    """Return fully connected layers over flattened feature maps.

    Args:
        inputs: Number of flattened features: filters times positions.
        units: Widths of the hidden layers.
        classes: Number of logits.
        dropout: Dropout probability after each hidden layer; None adds no dropout layers.
        activation: Class of the activation after each hidden layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for count in units:
        layers += [nn.Linear(inputs, count), activation()]
        layers += [] if dropout is None else [nn.Dropout(dropout)]
        inputs = count
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
