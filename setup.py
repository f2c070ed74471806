"""All else stands in pyproject.toml. Here is what an index shows as the project's page: README.md with absolute links,
since an index has none of its neighbours."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
# Pages of the site that show a file beside README.md; any other such file keeps its name, without a link.
PAGES = {"ARCHITECTURE.md": "docs/explanation/architecture.md", "SECURITY.md": "docs/explanation/security.md"}


def project_page(readme: str, site: str) -> str:
    def absolute(link: re.Match[str]) -> str:
        text, target = link.groups()
        if "://" in target:
            return link[0]
        target = PAGES.get(target, target)
        if not target.startswith("docs/"):
            return text
        return f"[{text}]({site}{re.sub(r'(index)?[.]md$', '/', target.removeprefix('docs/')).removeprefix('/')})"

    return re.sub(r"\[([^]]*)\]\(([^)\s]+)\)", absolute, readme)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = project_page((ROOT / "README.md").read_text(encoding="utf-8"), project["urls"]["Documentation"])
    setup(long_description=page, long_description_content_type="text/markdown")
