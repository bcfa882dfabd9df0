"""A template and what it shows become one HTML file: nothing is fetched from anywhere, and nothing
that a label or a model wrote is ever run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = "covrr_utils.pages"  # whose cards and styles every page may use

HALF = re.compile("[\ud800-\udfff]")


def fragment(text: str) -> str:
    """The text as it stands in an address after #."""
    return quote(HALF.sub("\ufffd", text), safe="")


def render(package: str, template: str, script: str | None = None, **content: object) -> bytes:
    """The page as UTF-8.

    ``template`` lies in the templates of ``package`` and extends ``page.html.j2``; ``script``, a
    template of its own, is the only script that the browser is allowed to run: the page names its
    hash. Half characters (lone surrogates), which no file can hold, become U+FFFD.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(TEMPLATES)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fragment"] = fragment
    code = environment.get_template(script).render() if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    page = environment.get_template(template).render(
        **content, code=Markup(code), allowed=f"'sha256-{digest}'" if script else "'none'"
    )
    return HALF.sub("\ufffd", page).encode()
