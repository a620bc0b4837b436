"""The report is one well-formed, self-contained page."""

from xml.etree import ElementTree

from tensorprog.study.report import Facts, Listing, Part, Picture, Report, Section, Table, Text, html

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
REPORT = Report(
    "A <title>",
    "What it says.",
    (
        Part("First", (Text("a < b & c"),), (Section("Program", (Listing("h := W x\n  y := φ(h)", "as in the paper"),)),)),
        Part("Second", (Table(("width", "error"), (("64", "0.1"), ("128", "0.07")), "falls"), Picture(SVG, 'a "plot"', wide=True))),
        Part("Third", (Facts((("slope", "−0.5"),)),)),
    ),
    (("version", "0"),),
)


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = html(REPORT)
    body = page[page.index("<body>") : page.index("</html>")]
    tree = ElementTree.fromstring(body)
    assert [h.text for h in tree.iter("h2")] == ["First", "Second", "Third"]
    assert [h.text for h in tree.iter("h3")] == ["Program"]
    assert [c.text for c in tree.iter("td")] == ["64", "0.1", "128", "0.07"]
    assert "http" not in page.replace(SVG, "")
    assert "<script" not in page


def test_text_is_escaped() -> None:
    page = html(REPORT)
    assert "a &lt; b &amp; c" in page
    assert "<title>A &lt;title&gt;</title>" in page
