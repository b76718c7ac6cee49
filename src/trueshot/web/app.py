"""The application: the page, the service, and the middleware in front of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from trueshot import __version__
from trueshot.reports.page import strict_environment
from trueshot.tasks.recapture import RECAPTURE
from trueshot.web.middleware import (
    DrainingApp,
    EndingApp,
    SameOriginGuard,
    answer_with_problems,
)
from trueshot.web.routes import router
from trueshot.web.schemas import ACCURATE, MOST_LEVELS, ROBUST, Problem
from trueshot.web.service import LOADER, Service
from trueshot.web.settings import ServiceSettings

_HERE = Path(__file__).parent
_SUMMARY = "Tells true shots from recaptures, with likelihood ratios and reasons."


def create_app(
    accurate: Path, robust: Path, settings: ServiceSettings, loader: str = LOADER
) -> FastAPI:
    """Create the page and the service for two detectors.

    Args:
        accurate: Bundle of the detector that was trained without a defence; it judges by default.
        robust: Bundle of the detector that was trained with a defence.
        settings: Address to listen on, and limits.
        loader: `module:function` that loads the detectors, see `Pool`.
    """
    service = Service(accurate, robust, settings, loader)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await anyio.to_thread.run_sync(service.start)
            yield
        finally:
            await anyio.to_thread.run_sync(service.stop)

    app = FastAPI(
        title="trueshot",
        version=__version__,
        summary=_SUMMARY,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # it would load scripts from another server
        redoc_url=None,
        # No telemetry, whatever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.service = service
    app.include_router(router)
    app.add_api_route("/", _page, include_in_schema=False, response_class=HTMLResponse)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_middleware(SameOriginGuard, hosts=settings.hosts)
    app.add_middleware(EndingApp)
    app.add_middleware(DrainingApp, seconds=settings.upload_seconds)  # outside all that refuse
    answer_with_problems(app)
    _described(app)
    return app


async def _page(request: Request) -> HTMLResponse:
    service: Service = request.app.state.service
    cards = {name: service.facts[name] for name in (ACCURATE, ROBUST)}
    task = service.tasks[ACCURATE]
    template = strict_environment(_HERE / "templates").get_template("page.html.jinja")
    text = template.render(
        summary=_SUMMARY,
        settings=service.settings,
        detectors=cards,
        words=task.words,
        is_recapture=task.classes == RECAPTURE.classes,
        most_levels=MOST_LEVELS,
        version=__version__,
    )
    return HTMLResponse(text)


def _described(app: FastAPI) -> None:
    """Add the schema of problems, which no signature mentions, to the OpenAPI description."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        description = make()
        schemas = description["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        return description

    app.openapi = openapi  # type: ignore[method-assign]
