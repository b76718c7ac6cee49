"""The registry of networks by name, and the base classes of networks and their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from trueshot.errors import RecipeError
from trueshot.networks.own import in_a_line, own_network

Picture = Literal["filtered", "spectrum"]

MOST_SIDE = 1024  # largest crop side in a bundle's input contract, in pixels
Filters = Annotated[int, Field(ge=1, le=4096)]
Units = Annotated[int, Field(ge=1, le=8192)]  # width of a fully connected layer


class NetworkSettings(BaseModel):
    """The arguments of a network, as recipes and bundles write them.

    A bundle may come from an untrusted source, so numbers that set a size have upper bounds: a card
    of a few bytes must not build a network far larger than the weights in its file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Explained(NamedTuple):
    """Logits of a batch of images, and where they come from.

    Attributes:
        logits: Shape (n, classes).
        evidence: Logits of each position, shape (n, classes, rows, columns); their mean over all
            positions is `logits`. None for a network without logits by position.
        first_layer: Output of the first layer: filtered images (n, 3, h, w), or logarithmic power
            spectra of luma (n, window, window / 2 + 1). None if it is not worth showing.
    """

    logits: Tensor
    evidence: Tensor | None = None
    first_layer: Tensor | None = None


class Network(nn.Module):
    """Base class of networks that can explain their logits. Any other `nn.Module` works as well.

    Attributes:
        Settings: The class that validates the network's arguments.
        picture: What its first layer outputs for display: `filtered` images, a `spectrum`, or None.
    """

    Settings: ClassVar[type[NetworkSettings]] = NetworkSettings
    picture: Picture | None = None

    def explained(self, images: Tensor) -> Explained:
        """Compute the logits of images (n, 3, h, w), and the evidence behind them if available."""
        return Explained(self(images))

    def project(self) -> None:
        """Restore constraints on the weights; called before each training step and at the end."""


AnyNetwork = TypeVar("AnyNetwork", bound=type[nn.Module])

NETWORKS: dict[str, type[nn.Module]] = {}


def register(name: str) -> Callable[[AnyNetwork], AnyNetwork]:
    """Register a network under the name that recipes and bundles use.

    Raises:
        ValueError: Another network has this name.
    """

    def entered(network: AnyNetwork) -> AnyNetwork:
        if name in NETWORKS:
            raise ValueError(f"network {name!r}: another network already has this name")
        NETWORKS[name] = network
        return network

    return entered


def build_network(settings: Mapping[str, Any]) -> nn.Module:
    """Build a network from `{"name": "lcnn", ...}`; the other keys are its arguments.

    With `sha256`, the name is `file.py:Name`: a class in a file that the user gave, see `own`.

    Raises:
        RecipeError: No network has this name, or it does not take these arguments.
    """
    arguments = dict(settings)
    name = str(arguments.pop("name", None))
    sha256 = arguments.pop("sha256", None)
    if sha256 is None and name not in NETWORKS:
        raise RecipeError(f"network {name!r}: unknown; known: {', '.join(sorted(NETWORKS))}")
    network = NETWORKS[name] if sha256 is None else own_network(name, str(sha256))
    bounds = getattr(network, "Settings", NetworkSettings)
    try:
        if bounds is not NetworkSettings:
            given = {key: value for key, value in arguments.items() if key != "classes"}
            bounds.model_validate({"name": name, **given})
        return network(**arguments)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecipeError(f"network {name!r}: {place}: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"network {name!r}: {error}") from error
    except Exception as error:
        if sha256 is None:
            raise
        raise RecipeError(f"network {name!r}: {in_a_line(error)}") from error  # user-defined code
