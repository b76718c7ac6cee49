"""The networks by name: a class with a decorator, its settings, and what it shows of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from trueshot.errors import RecipeError
from trueshot.networks.own import own_network

Picture = Literal["filtered", "spectrum"]

MOST_SIDE = 1024  # of the crops of a bundle's contract
Filters = Annotated[int, Field(ge=1, le=4096)]
Units = Annotated[int, Field(ge=1, le=8192)]  # of a fully connected layer


class NetworkSettings(BaseModel):
    """The arguments of a network, as recipes and bundles write them.

    A bundle may come from anybody: each number has a bound, so that a card of a few bytes builds
    nothing that no weights of its file could fill.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Explained(NamedTuple):
    """Logits, and where they come from.

    Attributes:
        logits: Shape (n, classes).
        evidence: Logits of each place, shape (n, classes, rows, columns), of which the mean over
            all places is `logits`; None for a network that knows nothing of places.
        first_layer: What the first layer makes of the images: filtered images (n, 3, h, w), or
            spectra of luma (n, window, window / 2 + 1); None where it is not worth a look.
    """

    logits: Tensor
    evidence: Tensor | None = None
    first_layer: Tensor | None = None


class Network(nn.Module):
    """A network that says more than its logits. Any other `nn.Module` serves as well.

    Attributes:
        Settings: Its arguments, for recipes.
        picture: What its first layer gives: `filtered` images, a `spectrum`, or None.
    """

    Settings: ClassVar[type[NetworkSettings]] = NetworkSettings
    picture: Picture | None = None

    def explained(self, images: Tensor) -> Explained:
        """Logits of images (n, 3, h, w), and where they come from."""
        return Explained(self(images))

    def project(self) -> None:
        """Put weights back to where they have to be: called before each step, and at the end."""


AnyNetwork = TypeVar("AnyNetwork", bound=type[nn.Module])

NETWORKS: dict[str, type[nn.Module]] = {}


def register(name: str) -> Callable[[AnyNetwork], AnyNetwork]:
    """Give a network the name that recipes and bundles know it by.

    Raises:
        ValueError: Another network has that name.
    """

    def entered(network: AnyNetwork) -> AnyNetwork:
        if name in NETWORKS:
            raise ValueError(f"network {name!r}: there is one of that name")
        NETWORKS[name] = network
        return network

    return entered


def load(name: str) -> type[nn.Module]:
    """The network of a name.

    Raises:
        RecipeError: No network has it.
    """
    if name not in NETWORKS:
        raise RecipeError(f"network {name!r}: unknown; known: {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name]


def build_network(settings: Mapping[str, Any]) -> nn.Module:
    """Build a network from `{"name": "lcnn", ...}`, the other keys being its arguments.

    With a `sha256` the name is `file.py:Name`: of a file that the user gave, see `own`.

    Raises:
        RecipeError: No network of that name, or arguments that it does not take.
    """
    arguments = dict(settings)
    name = arguments.pop("name", None)
    sha256 = arguments.pop("sha256", None)
    network = load(str(name)) if sha256 is None else own_network(str(name), str(sha256))
    try:
        return network(**_bounded(network, str(name), arguments))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecipeError(f"network {name!r}: {place}: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"network {name!r}: {error}") from error


def _bounded(network: type[nn.Module], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a network, once its settings, where it has any, were found to allow them."""
    settings = getattr(network, "Settings", NetworkSettings)
    if settings is not NetworkSettings:
        given = {key: value for key, value in arguments.items() if key != "classes"}
        settings.model_validate({"name": name, **given})
    return arguments
