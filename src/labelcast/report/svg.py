"""A chart as inline SVG: one image with a label, whose colours and font are the page's."""

from __future__ import annotations

import io
import mmap
import os
import re
import resource
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from labelcast.errors import RunError

_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_NAMESPACES = re.compile(r' xmlns(?::xlink)?="[^"]*"')
_DROPPED = re.compile(r"role|aria-.*|font-family|pointer-events|version|width|height|opacity")
_PAINT = ("fill", "stroke")
# Addresses, not memory: V8, in which vega runs, sets them aside at its start.
_ADDRESSES = 32 << 30
# What the engine opens at most, by far.
_FILES = 64
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0) | mmap.MAP_ANONYMOUS


def to_svg(chart: Any, label: str, colours: Mapping[str, str] | None = None) -> str:
    """Draw a chart without a network, as an ``<svg>`` element to stand inside HTML.

    What vega says of single marks to a screen reader is dropped: the element is one image.

    Args:
        chart: of altair's.
        label: what the image shows, for those who do not see it.
        colours: what stands in place of a colour of the chart, such as ``var(--ink)``.

    Raises:
        MemoryError: the process may not have the addresses that the drawing engine takes.
        RunError: it may not open the files that the engine opens, or the engine failed otherwise.
    """
    _need_addresses()
    _need_files()
    buffer = io.StringIO()
    try:
        chart.save(buffer, format="svg")
    except ValueError as error:  # what vl-convert makes of every fault of its own
        raise RunError(f"a chart cannot be drawn ({' '.join(str(error).split())[:200]}).") from None
    root = ElementTree.fromstring(_NAMESPACES.sub("", buffer.getvalue()))
    _clean(root, colours or {})
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": box, "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _need_addresses() -> None:
    """Raise where the engine, which ends the whole process then, could not be started."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    try:
        mmap.mmap(-1, _ADDRESSES, flags=mmap.MAP_PRIVATE | _NO_RESERVE, prot=0).close()
    except (OSError, ValueError):
        raise MemoryError("drawing a chart: too few addresses (ulimit -v)") from None


def _need_files() -> None:
    """Raise where the engine, whose threads panic then, could not open its files."""
    opened: list[int] = []
    try:
        while len(opened) < _FILES:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise RunError(
            f"a chart cannot be drawn ({error.strerror}). Allow more open files (ulimit -n)."
        ) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _clean(element: ElementTree.Element, colours: Mapping[str, str]) -> bool:
    """Clean an element and what is in it; whether anything of it is to be seen."""
    for child in list(element):
        if not _clean(child, colours):
            element.remove(child)
    shape = element.tag in ("rect", "image")
    for name, value in list(element.attrib.items()):
        if name == "class" or (_DROPPED.fullmatch(name) and not _is_needed(name, value, shape)):
            del element.attrib[name]
        elif name in _PAINT:
            element.set(name, colours.get(value, value))
        else:
            element.set(name, _LONG.sub(_rounded, value))
    if element.tag == "g":
        return len(element) > 0
    return element.tag != "path" or (bool(element.get("d")) and element.get("display") != "none")


def _is_needed(name: str, value: str, shape: bool) -> bool:
    if name in ("width", "height"):
        return shape
    return name == "opacity" and value != "1"


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
