"""The page of `pipekit serve`: how to call it, and a place to drop an image. What it says of the model, its script asks for."""

from __future__ import annotations

import html

from starlette.requests import Request
from starlette.responses import Response

CURL = """curl{auth} --data-binary @photo.jpg {server}/predict"""

PYTHON = """import json, urllib.request

with open("photo.jpg", "rb") as file:
    request = urllib.request.Request("{server}/predict", file.read(){auth})
print(json.load(urllib.request.urlopen(request)))"""

SEVERAL = """import base64, json, pathlib, urllib.request

files = ["one.jpg", "two.jpg"]
instances = [{{"b64": base64.b64encode(pathlib.Path(file).read_bytes()).decode()}} for file in files]
body = json.dumps({{"instances": instances}}).encode()
request = urllib.request.Request("{server}/predict", body{auth})
for file, found in zip(files, json.load(urllib.request.urlopen(request))["predictions"]):
    print(file, found)"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>pipekit serve</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/static/studio.css">
<script type="module" src="/static/serve.js"></script></head>
<body data-page="serve" data-token="{token}"><a class="skip" href="#main">To the content</a>
<header class="bar"><span class="brand always">pipekit serve</span><span class="state" role="status"></span></header>
<main id="main" class="two serve" tabindex="-1">
<div><section class="card"><h1 id="name">A trained model</h1><p class="soft" id="facts"></p>
<div id="drop"></div></section><div id="result" aria-live="polite"></div></div>
<div class="calls"><h2>On the command line</h2><pre tabindex="0">{curl}</pre>
<h2>In Python</h2><pre tabindex="0">{python}</pre>
<h2>Several images at once</h2><pre tabindex="0">{several}</pre>
<p class="soft">The JSON is that of TensorFlow Serving, whose address <code>/v1/models/NAME:predict</code> is answered too.
<code>?top_k=10</code> sets the number of classes in an answer.</p>
<h2>Addresses</h2><dl class="facts">
<div><dt><code>/predict</code></dt><dd>POST: the bytes of a JPEG, PNG or WebP file, or JSON; at most 32 MB</dd></div>
<div><dt><a href="/openapi.json">/openapi.json</a></dt><dd>the OpenAPI document</dd></div>
<div><dt><code>/model</code></dt><dd>classes, input size, task</dd></div>
<div><dt><a href="/healthz">/healthz</a></dt><dd>whether the model can predict</dd></div>
<div><dt><code>/metrics</code></dt><dd>counters for Prometheus</dd></div></dl>
<p class="soft">Images are neither logged nor kept.</p></div>
</main></body></html>
"""


def page(request: Request) -> Response:
    server, needs_token = str(request.base_url).rstrip("/"), request.app.state.needs_token
    shell = ' -H "Authorization: Bearer $TOKEN"' if needs_token else ""
    python = ', {"Authorization": "Bearer TOKEN"}' if needs_token else ""
    text = _PAGE.format(
        token="1" if needs_token else "",
        curl=html.escape(CURL.format(server=server, auth=shell)),
        python=html.escape(PYTHON.format(server=server, auth=python)),
        several=html.escape(SEVERAL.format(server=server, auth=python)),
    )
    return Response(text, media_type="text/html", headers={"cache-control": "no-store"})
