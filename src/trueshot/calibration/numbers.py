"""Types of the numbers in a model card: finite, and not given as text."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
