"""The OpenAPI document of `pipekit serve`, from which programs make clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit import __version__

Json = dict[str, Any]

_TOP = {
    "type": "array",
    "description": "The most probable classes",
    "items": {"type": "object", "properties": {"class": {"type": "string"}, "probability": {"type": "number"}}},
}

SCHEMAS: Mapping[str, Json] = {
    "Prediction": {
        "type": "object",
        "description": "Which properties there are depends on the task of the model, see GET /model",
        "properties": {
            "predicted": {"type": "string", "description": "The class; of several labels all, with | between them"},
            "confidence": {"type": ["number", "null"], "description": "The probability of the predicted class"},
            "top": _TOP,
            "unknown": {"type": "boolean", "description": "Whether the image is none of the classes, if the model can tell"},
            "unknown_score": {"type": "number", "description": "Above 1, the image is none of the classes"},
            "labels": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Several labels: those above their threshold",
            },
            "value": {"type": "number", "description": "If the model predicts a number"},
            "unit": {"type": "string"},
            "low": {"type": "number", "description": "With high: 90 % of new numbers lie between them"},
            "high": {"type": "number"},
        },
    },
    "Predictions": {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}},
    },
    "Instances": {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {
                "type": "array",
                "maxItems": 64,
                "items": {
                    "type": "object",
                    "required": ["b64"],
                    "properties": {"b64": {"type": "string", "contentEncoding": "base64", "description": "An image file"}},
                },
            }
        },
    },
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "hint": {"type": "string"},
            "problems": {"type": "array", "items": {"type": "object"}, "description": "One for each image that can't be used"},
        },
    },
}

REFUSALS = {
    "400": "The body or a parameter is wrong",
    "413": "More than 32 MB, or more than 64 images",
    "415": "Neither a JPEG, PNG or WebP file nor JSON",
    "422": "An image can't be used: damaged, or more than 50 million pixels",
    "503": "Too many requests wait, or the model is being started again",
}


def document(server: str, needs_token: bool) -> Json:
    """The document of a server at an address."""
    made: Json = {
        "openapi": "3.1.0",
        "info": {"title": "pipekit serve", "version": __version__, "description": "Predictions of a trained image model"},
        "servers": [{"url": server}],
        "paths": {
            "/predict": {"post": _predict("predict")},
            "/v1/models/{name}:predict": {
                "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                "post": _predict("predictAsTensorFlowServing"),
            },
            "/model": {
                "get": _get("model", "The model's classes, input size and task", "application/json", {"type": "object"})
            },
            "/healthz": {
                "get": _get("health", "Whether the model can predict; 503 if not", "application/json", {"type": "object"})
            },
            "/metrics": {"get": _get("metrics", "Counters in Prometheus' text format", "text/plain", {"type": "string"})},
        },
        "components": {"schemas": dict(SCHEMAS)},
    }
    if needs_token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        made["paths"]["/healthz"]["get"]["security"] = []
    return made


def _predict(name: str) -> Json:
    file = {"schema": {"type": "string", "contentMediaType": "image/*"}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    answers = {"oneOf": [{"$ref": f"#/components/schemas/{one}"} for one in ("Prediction", "Predictions")]}
    return {
        "operationId": name,
        "summary": "Predict an image file, or several as JSON",
        "parameters": [
            {
                "name": "top_k",
                "in": "query",
                "description": "Number of classes in `top`",
                "schema": {"type": "integer", "default": 5},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                **dict.fromkeys(("image/jpeg", "image/png", "image/webp"), file),
                "application/json": {"schema": {"$ref": "#/components/schemas/Instances"}},
            },
        },
        "responses": {
            "200": {
                "description": "A prediction; of JSON, one for each instance",
                "content": {"application/json": {"schema": answers}},
            },
            **{status: {"description": words, "content": error} for status, words in REFUSALS.items()},
        },
    }


def _get(name: str, summary: str, kind: str, schema: Json) -> Json:
    answer = {"description": summary, "content": {kind: {"schema": schema}}}
    return {"operationId": name, "summary": summary, "responses": {"200": answer}}
