"""A strict reader of our pages: what a validator and an accessibility checker would object to."""

from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "input", "br", "hr", "img", "link", "wbr"}
IN_HEAD = {"meta", "title", "style", "link"}
BLOCKS = {"p", "div", "table", "figure", "details", "section", "nav", "main", "header", "h1", "h2", "h3", "ul", "pre"}
LANDMARKS = {"header", "main", "nav"}
CHILDREN = {
    "table": {"thead", "tbody"}, "thead": {"tr"}, "tbody": {"tr"}, "tr": {"th", "td"}, "ul": {"li"},
}  # fmt: skip


class PageRules(HTMLParser):
    """Reads a page; `objections` says what breaks a rule."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, Any]]] = []
        self.objections: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.seen: list[str] = []
        self.headings: list[int] = []
        self.after_caption = False
        self.feed(page)
        self.close()
        self.finish()

    def object_to(self, sentence: str) -> None:
        self.objections.append(f"line {self.getpos()[0]}: {sentence}")

    def handle_decl(self, declaration: str) -> None:
        if declaration != "DOCTYPE html" or self.open:
            self.object_to(f"declares {declaration}")

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        attributes = dict(pairs)
        if len(attributes) < len(pairs):
            self.object_to(f"<{tag}> has an attribute twice")
        above = [name for name, _ in self.open]
        self.check_place(tag, above)
        if "svg" not in above:
            self.check_attributes(tag, attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"] or "")
        if (attributes.get("href") or "").startswith("#"):
            self.targets.append((attributes["href"] or "")[1:])
        if tag in LANDMARKS:
            self.seen.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, pairs)
        if tag not in VOID:
            self.open.pop()

    def check_place(self, tag: str, above: list[str]) -> None:
        parent = above[-1] if above else ""
        if "svg" in above:
            return
        if parent in CHILDREN and tag not in CHILDREN[parent]:
            self.object_to(f"<{tag}> in <{parent}>")
        if tag in IN_HEAD and parent != "head":
            self.object_to(f"<{tag}> outside the head")
        if "p" in above and tag in BLOCKS:
            self.object_to(f"<{tag}> in <p>")
        if parent == "body" and tag not in ("header", "main"):
            self.object_to(f"<{tag}> outside the landmarks")
        if parent == "figure":
            if self.after_caption:
                self.object_to(f"<{tag}> after <figcaption>")
            self.after_caption = tag == "figcaption"

    def check_attributes(self, tag: str, attributes: dict[str, Any]) -> None:
        label = attributes.get("aria-label")
        if tag == "th" and attributes.get("scope") not in ("col", "row"):
            self.object_to("<th> without a scope")
        if tag == "button" and attributes.get("type") != "button":
            self.object_to("<button> without a type")
        if tag == "svg" and not (label and attributes.get("role") == "img"):
            self.object_to("<svg> without a role or a label")
        if attributes.get("class") == "wide" and not (label and attributes.get("tabindex") == "0"):
            self.object_to("what scrolls cannot be reached by keyboard, or has no label")
        if tag == "input" and not label and self.open[-1][0] != "label":
            self.object_to("<input> without a label")
        if tag == "nav" and not label:
            self.object_to("<nav> without a label")
        if tag == "html" and not attributes.get("lang"):
            self.object_to("<html> without a language")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.object_to(f"</{tag}> closes {self.open[-1:]}")
            return
        self.open.pop()
        if tag == "figure":
            self.after_caption = False

    def finish(self) -> None:
        if self.open:
            self.objections.append(f"never closed: {self.open}")
        twice = {one for one in self.ids if self.ids.count(one) > 1} if len(set(self.ids)) < len(self.ids) else set()
        if twice:
            self.objections.append(f"ids that stand twice: {sorted(twice)}")
        lost = set(self.targets) - set(self.ids)
        if lost:
            self.objections.append(f"links that lead nowhere: {sorted(lost)}")
        if sorted(set(self.seen) & {"header", "main"}) != ["header", "main"] or self.seen.count("main") != 1:
            self.objections.append(f"landmarks: {self.seen}")
        if self.headings.count(1) != 1 or self.headings[0] != 1:
            self.objections.append("expected one first heading")
        if any(after > before + 1 for before, after in zip(self.headings, self.headings[1:], strict=False)):
            self.objections.append(f"a level of headings is left out: {self.headings}")
