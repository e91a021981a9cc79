"""After the build: every link within the site leads to a page and an anchor that exist. Otherwise the build fails."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

SKIPPED = ("_static/mathjax", "_static/furo")


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.add(value)


def dead_links(site: Path) -> list[str]:
    """``page: link`` for each link within the site whose file or anchor does not exist; external links are skipped."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in pages.items():
        if str(path.relative_to(site)).startswith(SKIPPED):
            continue
        for link in sorted(page.links):
            address, anchor = urldefrag(link)
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                dead.append(f"{path.relative_to(site)}: {link}")
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                dead.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    return dead


def check(app: Sphinx, error: Exception | None) -> None:
    """Fail a finished HTML build that has dead links."""
    if error is None and app.builder.format == "html":
        dead = dead_links(Path(app.outdir).resolve())
        if dead:
            raise SphinxError("dead links:\n  " + "\n  ".join(dead))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
