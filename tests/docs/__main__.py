"""`make docs`: write the pages that are generated from the code."""

from __future__ import annotations

from tests.docs.pages import GENERATED

for page in GENERATED:
    page.PAGE.write_text(page.rendered())
