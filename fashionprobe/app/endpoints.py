"""The HTTP service of a run: search, tags and heatmaps for other programs, described by OpenAPI."""

import io
import os
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import FastAPI, File, Form, HTTPException, Request, Response, Security, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from fashionprobe.app.access import Access, BearerToken, LimitedBody, SameOrigin
from fashionprobe.app.data_uris import MAX_PIXELS, MAX_UPLOADED, TooLarge, check_upload, read_upload
from fashionprobe.app.served_classifier import ServedClassifier
from fashionprobe.errors import UserError, check_one
from fashionprobe.plots.overlays import overlay

if TYPE_CHECKING:
    import pandas as pd

MOST = 1000
"""Images of an answer at most."""

AROUND = 2**16
"""Bytes of a request beside the picture at most: other fields, and the lines between them."""

_turn = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Held while a picture is in memory: a large one takes some hundred megabytes."""


@dataclass(frozen=True)
class Service:
    """What the endpoints need of the run, opened by whoever knows its artifacts.

    Attributes:
        run: Name of the run.
        version: Version of fashionprobe.
        images: Returns the number of images of the index.
        search: `Searcher.search`.
        tag: `Searcher.tag`.
        classifier: Returns the network of /explain and a function from name or number of a class to its number.
    """

    run: str
    version: str
    images: Callable[[], int]
    search: Callable[..., "pd.DataFrame"]
    tag: Callable[..., "pd.DataFrame"]
    classifier: Callable[[], tuple[ServedClassifier, Callable[[str], int]]]


class Health(BaseModel):
    """That the service is up."""

    version: str = Field(description="Version of fashionprobe.", examples=["0.1.0"])
    images: int = Field(description="Images in the index.", examples=[12000])


class Hit(BaseModel):
    """One similar image. The other columns of the index stand beside these, as text."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"example": {
            "query": "shirt.jpg", "rank": 1, "id": "1163", "distance": 0.217, "colour": "blue", "price": "24.90",
        }},
    )  # fmt: skip
    query: str = Field(description="Name of the uploaded file, or the id that was asked for.")
    rank: int = Field(description="1 for the nearest.")
    id: str = Field(description="Id of the image.")
    distance: float = Field(
        description="Distance of the normalized descriptors; by several groups the sum of z-scored distances, where "
        "negative is nearer than average."
    )


class Tag(BaseModel):
    """What one group of the index says of the picture."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "image": "shirt.jpg", "group": "colour", "name": "blue", "nearest": "blue", "probability": 0.93,
        "distance": 0.41, "reach": 0.77,
    }})  # fmt: skip
    image: str = Field(description="Name of the uploaded file.")
    group: str = Field(description="The group.")
    name: str = Field(description='The class; "none of these" where the picture is beyond the reach of the nearest.')
    nearest: str = Field(description="The nearest class.")
    probability: float | None = Field(description="Its probability among the classes of the group; null if unknown.")
    distance: float = Field(description="Distance to its mean.")
    reach: float = Field(description="How far that class reaches.")


class Problem(BaseModel):
    """What is wrong with a request."""

    detail: str = Field(
        description="One sentence: what is expected, what was received.",
        examples=["`by` must be a group of the index: colour, pattern, both. Received: color. Did you mean 'colour'?"],
    )


_UNREADABLE: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": f"More than {MAX_UPLOADED // 2**20} MB, or than {MAX_PIXELS:,} pixels."},
    422: {"model": Problem, "description": "A field that does not fit, or a file that is not an image."},
}
_UPLOAD = "An image file: JPEG, PNG, GIF, BMP or WEBP."


def application(service: Service, access: Access) -> FastAPI:
    """Make the web application.

    Args:
        service: What answers.
        access: Where it listens, and the token that it demands.
    """
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=access.names), Middleware(SameOrigin)]
    if access.token:
        guards.append(Middleware(BearerToken, token=access.token))
    guards.append(Middleware(LimitedBody, most=MAX_UPLOADED + AROUND))
    app = FastAPI(
        title=f"fashionprobe: {service.run}", version=service.version, middleware=guards,
        description="Similar images, attributes and heatmaps, by what the hidden layers of a trained network know.",
        # Its pages with forms would fetch their scripts from another server.
        docs_url=None, redoc_url=None,
        dependencies=[Security(HTTPBearer(auto_error=False))] if access.token else [],
        responses={401: {"model": Problem, "description": "Without the token."}} if access.token else {},
    )  # fmt: skip
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)

    @app.get("/healthz", summary="Is it up?")
    def healthz() -> Health:
        return Health(version=service.version, images=service.images())

    @app.post(
        "/search", summary="Find the images that are most similar to one.", response_model=list[Hit],
        responses={**_UNREADABLE, 404: {"model": Problem, "description": "No image of the index has this id."}},
    )  # fmt: skip
    def search(
        image: Annotated[UploadFile | None, File(description=f"{_UPLOAD} Or pass an id.")] = None,
        id: Annotated[str | None, Form(description="Id of an image of the index.", examples=["1163"])] = None,
        by: Annotated[
            str, Form(description="A group of the index, such as colour; both takes all groups.", examples=["colour"])
        ] = "both",
        top: Annotated[int, Form(description="How many at most.", ge=1, le=MOST, examples=[10])] = 36,
        where: Annotated[str | None, Form(
            description="Only among the images for which this pandas query over the columns of the index is true.",
            max_length=2000, examples=["price < 30 and gender == 'Women'"],
        )] = None,
        include_query: Annotated[
            bool, Form(description="Return the picture itself, too, where it is in the index.")
        ] = False,
    ) -> Response:  # fmt: skip
        options = {"by": by, "top": top, "where": where, "include_query": include_query}
        check_one(image=image, id=id)
        if image is None:
            return _rows(service.search(ids=[id], **options))
        with _turn:
            found = service.search(_checked(image), **options)
        return _rows(found.assign(query=_name(image)))

    @app.post(
        "/tag", summary="Name the class of a picture in each group of the index.", response_model=list[Tag],
        responses=_UNREADABLE,
    )  # fmt: skip
    def tag(image: Annotated[UploadFile, File(description=_UPLOAD)]) -> Response:
        with _turn:
            found = service.tag(_checked(image))
        return _rows(found.assign(image=_name(image)))

    @app.post(
        "/explain", summary="Show where a classifier sees a class: a Grad-CAM heatmap over the picture.",
        response_class=Response,
        responses={**_UNREADABLE, 404: {"model": Problem, "description": "The run has no classifier."}, 200: {
            "description": "The heatmap over the picture, as the network sees it.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "X-Class": {"description": "The class, percent-encoded.", "schema": {"type": "string"}},
                "X-Probability": {"description": "Its probability.", "schema": {"type": "number"}},
            },
        }},
    )  # fmt: skip
    def explain(
        image: Annotated[UploadFile, File(description=_UPLOAD)],
        class_: Annotated[str | None, Form(
            alias="class", description="Name or number of a class. Default: the likeliest.", examples=["daisy"],
        )] = None,
    ) -> Response:  # fmt: skip
        with _turn:
            picture = read_upload(image.file.read(), _name(image))
            try:
                classifier, number_of = service.classifier()
            except UserError as error:
                raise HTTPException(404, str(error)) from error
            shares = classifier.predict(classifier.fitted(picture))[0]
            number = int(shares.argmax()) if class_ is None else number_of(class_)
            return _png(_overlaid(classifier, picture, number), {
                "X-Class": urllib.parse.quote(classifier.classes[number]), "X-Probability": f"{shares[number]:.6f}",
            })  # fmt: skip

    return app


def _checked(image: UploadFile) -> bytes:
    data = image.file.read()
    check_upload(data)
    return data


def _name(image: UploadFile) -> str:
    return image.filename or "image"


def _overlaid(classifier: ServedClassifier, picture: np.ndarray, number: int) -> np.ndarray:
    seen = np.rint(np.clip(classifier.fitted(picture)[0], 0, 255)).astype(np.uint8)
    return overlay(classifier.cropped(seen, picture.shape), classifier.heatmap(picture, "grad_cam", number))


def _png(pixels: np.ndarray, headers: dict[str, str]) -> Response:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers=headers)


def _rows(table: "pd.DataFrame") -> Response:
    return Response(table.to_json(orient="records", force_ascii=False), media_type="application/json")


def _user_error(_: Request, error: Exception) -> Response:
    status = 413 if isinstance(error, TooLarge) else 422
    # The sentence about an id that the index has not got.
    if isinstance(error, UserError) and error.argument == "id":
        status = 404
    return JSONResponse({"detail": str(error)}, status)


def _invalid(_: Request, error: Any) -> Response:
    """Word what does not fit the schema as other errors are: one sentence in place of a list."""
    first = error.errors()[0]
    field, problem = str(first["loc"][-1]), str(first["msg"])
    return JSONResponse({"detail": f"`{field}` does not fit: {problem[:1].lower()}{problem[1:]}."}, 422)
