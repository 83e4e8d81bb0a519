"""What makes pages fast and is not a matter of time: bytes, requests, room kept.

What Lighthouse says of their speed, `make lighthouse` prints.
"""

import pytest
from book import PAGES, PHONE, WIDE, heaviest

SHIFTS = """
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const {value, sources} of list.getEntries()) shifts.push([value,
      sources.map(({node}) => node?.outerHTML?.slice(0, 100) ?? String(node))]);
  }).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture
def loaded(reader):
    """The bytes that came over the line for each address."""
    sizes = {}
    devtools = reader.context.new_cdp_session(reader)
    devtools.send("Network.enable")
    addresses = {}
    devtools.on(
        "Network.responseReceived",
        lambda e: addresses.update({e["requestId"]: e["response"]["url"]}),
    )
    devtools.on(
        "Network.loadingFinished",
        lambda e: sizes.update(
            {addresses.get(e["requestId"], "?"): e["encodedDataLength"]}
        ),
    )
    return sizes


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_light(reader, loaded, path):
    reader.goto(path, wait_until="networkidle")
    assert path in "".join(loaded)
    most = sorted(loaded.items(), key=lambda item: -item[1])[:5]
    assert sum(loaded.values()) <= 700_000, most
    assert len(loaded) <= 40, sorted(loaded)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("path", ["index.html", heaviest()])
def test_what_is_read_stays_where_it_is(reader, path, size):
    reader.set_viewport_size(size)
    reader.add_init_script(SHIFTS)
    reader.goto(path, wait_until="networkidle")
    reader.wait_for_timeout(500)
    shifts = reader.evaluate("shifts")
    assert sum(value for value, _ in shifts) < 0.05, shifts
