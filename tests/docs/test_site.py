"""The documentation as a site: its links lead somewhere, it needs no network, and its reference lists all there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest
from pymdownx.slugs import slugify

import runtime
from runtime import Failure, Model, Note, Progress, Soundscapes, Timing
from runtime.request.field import options_of
from runtime.request.request import Request

ROOT = Path(__file__).parents[2]
WRONG = '''
def double(x: int) -> int:
    """Doubles.

    Args:
        y: there is none.
    """
    return 2 * x
'''


class Html(HTMLParser):
    """What a page is made of: its links, what it loads, and the names of its places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.loads, self.ids, self.classes = list[str](), list[str](), set[str](), set[str]()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        self.classes.update(given.get("class", "").split())
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(given["href"])
        self.loads += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]

    def handle_data(self, data: str) -> None:
        self.text += data


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def reference(site: Path) -> Html:
    return Html((site / "api" / "index.html").read_text())


def test_mistakes_are_refused(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    (docs / "lonely.md").write_text("# Lonely\n")
    (docs / "gpu.md").write_text("[a](nowhere.md) [b](options.md#--nothing) [c](#nothing) ![d](figures/none.svg)\n")
    (docs / "api.md").write_text("::: wrong.double\n")
    (tmp_path / "wrong.py").write_text(WRONG)
    broken = build(tmp_path, tmp_path / "site")
    assert broken.returncode == 1
    for warning in (
        'pages exist in the docs directory, but are not included in the "nav" configuration:\n  - lonely.md',
        "'gpu.md' contains a link 'nowhere.md', but the target is not found",
        "'gpu.md' contains a link 'options.md#--nothing', but the doc 'options.md' does not contain an anchor",
        "'gpu.md' contains a link '#nothing', but there is no such anchor on this page",
        "'gpu.md' contains a link 'figures/none.svg', but the target is not found",
        "Parameter 'y' does not appear in the function signature",
    ):
        assert warning in broken.stderr


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    pages = [Html(path.read_text()) for path in site.rglob("*.html")]
    assert len(pages) > 20
    loads = {load for page in pages for load in page.loads}
    assert len(loads) > 5
    assert [load for load in loads if re.match(r"(\w+:)?//", load)] == []
    assert not any("mermaid" in page.classes for page in pages)  # the theme loads its program from a network
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.findall(r"""(?:@import\s+|url\(\s*)["']?(?:\w+:)?//""", styles)


def test_the_reference_has_all_public_names(reference: Html) -> None:
    assert {f"runtime.{name}" for name in runtime.__all__ if name != "__version__"} - reference.ids == set()
    for kind in (Failure, Model, Note, Progress, Soundscapes, Timing):
        names = [*dir(kind), *getattr(kind, "__dataclass_fields__", ())]
        public = {name for name in names if not name.startswith("_")} - {"detected", "of_sample", "reads"}
        assert {f"runtime.{kind.__name__}.{name}" for name in public} - reference.ids == set()


def test_the_reference_has_all_options_of_run_soundscapes(reference: Html) -> None:
    text = " ".join(reference.text.split())
    section = text[text.index("run_soundscapes( soundscapes: Sources") : text.index("load_model( path")]
    signature, _, rest = section.partition(" Scores every window of every recording. Parameters: ")
    for option, field in zip(options_of(Request), fields(Request)):
        declared = f"{option.name}: {field.type} = {option.default!r},".replace("'", '"')
        assert declared in signature.replace("( ", "(")
        assert f" {option.name} (" in rest
        assert option.help.replace("`", "") in rest
    for heading in (" Returns: Soundscapes ", " Raises: InputError ", " ArtifactError ", " Interrupted "):
        assert heading in rest
    assert "request" not in section


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_in_the_repository_lead_somewhere(name: str) -> None:
    page = rendered(ROOT / name)
    for link in [*page.links, *page.loads]:
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", path):
            continue
        target = ROOT / (path or name)
        assert target.exists(), link
        assert not anchor or anchor in rendered(target).ids, link


def rendered(path: Path) -> Html:
    """A page of Markdown, whose headings are called as on GitHub."""
    names = {"toc": {"slugify": slugify(case="lower")}}
    extensions = ["toc", "tables", "fenced_code", "md_in_html"]
    return Html(markdown.markdown(path.read_text(), extensions=extensions, extension_configs=names))
