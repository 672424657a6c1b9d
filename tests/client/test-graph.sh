#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The graph that vfiodctl writes, rendered by dot: of hosts with no, few and 200 devices, with labels
# that hurt. What is drawn is all there, in letters that can be read, and nothing lies on something else.
set -euo pipefail

build=${top_builddir:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8
command -v dot >/dev/null || { echo "dot is not here: install graphviz" >&2; exit 1; }

for n in 0 1 7 200; do
    "$build/tests/client/graph-host" $n >"$work/host.dot"
    timeout 120 dot -Tsvg "$work/host.dot" >"$work/host.svg" 2>"$work/err" || { cat "$work/err"; exit 1; }
    [ ! -s "$work/err" ] || { echo "dot complains of $n devices:"; cat "$work/err"; exit 1; }
    python3 - "$work/host.svg" $n <<'PY'
import re
import sys
import xml.etree.ElementTree as ET

svg, n = ET.parse(sys.argv[1]).getroot(), int(sys.argv[2])
ns = "{http://www.w3.org/2000/svg}"
texts = [t for t in svg.iter(ns + "text")]
words = [t.text for t in texts]

for i in range(n):
    name = "0000:%02x:00.%x" % (i // 2, i % 2)
    assert words.count(name) == 1, (name, words.count(name))
for i in range((n + 1) // 2):
    assert "group %d" % i in words, i
for i in range(4):
    assert words.count("dmar%d" % i) == 1, i
pairs, buses = range(2, max(n - 1, 2), 20), range(2, max(n - 2, 2), 20)
assert words.count("reset") == len(pairs) + len(buses), words.count("reset")
if n >= 12:
    assert 'root: vm "0" \\' in words, [w for w in words if "vm" in w]
if n > 5:
    assert any(w.startswith('a "model" with \\ and ') for w in words)

# letters of ten points and more, at the size that the picture says it has
assert all(float(t.get("font-size")) >= 10 for t in texts)
width, height = (float(svg.get(k).rstrip("pt")) for k in ("width", "height"))
print("%3d devices: %.0f x %.0f points" % (n, width, height))
if n:
    # a picture that a browser can show: it grows with the host in one direction
    assert width < 3000 and height < 400 + 120 * n, (width, height)

# left, upper, right and lower edge of a node; one that is rounded is a path of curves
def box_of(g):
    shape = next(e for e in g if e.tag in (ns + "polygon", ns + "ellipse", ns + "path"))
    if shape.tag == ns + "ellipse":
        cx, cy, rx, ry = (float(shape.get(k)) for k in ("cx", "cy", "rx", "ry"))
        return cx - rx, cy - ry, cx + rx, cy + ry
    points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", shape.get("points") or shape.get("d"))
    x, y = [float(p[0]) for p in points], [float(p[1]) for p in points]
    return min(x), min(y), max(x), max(y)

nodes = [g for g in svg.iter(ns + "g") if g.get("class") == "node"]
boxes = {g.find(ns + "title").text: box_of(g) for g in nodes}
assert len(boxes) >= n

# every text inside its box, and no two devices, leases or resets on one another
for g in nodes:
    box = box_of(g)
    for t in g.iter(ns + "text"):
        assert box[0] <= float(t.get("x")) <= box[2] and box[1] + 6 <= float(t.get("y")) <= box[3], t.text
ordered = sorted((box, name) for name, box in boxes.items())
for i, (a, name) in enumerate(ordered):
    for b, other in ordered[i + 1:]:
        if b[0] >= a[2]:
            break
        assert a[1] >= b[3] or b[1] >= a[3], (name, other)

# a lease or reset stands to the right of its devices, at their height: lines to it are short
edges = [g.find(ns + "title").text.split("->") for g in svg.iter(ns + "g") if g.get("class") == "edge"]
ties = [(a, b) for a, b in edges if "/device/" not in b]
assert n < 12 or ties
for a, b in ties:
    assert boxes[a][2] <= boxes[b][0], (a, b)
# a device has a line to the innermost of its resets alone, and that one to the next
resets = [(a, b) for a, b in ties if b.startswith("reset")]
assert len({a for a, b in resets}) == len(resets)
assert sum(a.startswith("reset") for a, b in resets) == len(buses)
for b in {b for a, b in ties}:
    upper, lower = min(boxes[a][1] for a, c in ties if c == b), max(boxes[a][3] for a, c in ties if c == b)
    assert upper - 500 <= boxes[b][1] and boxes[b][3] <= lower + 500, (b, boxes[b], upper, lower)
PY
done
echo "all good"
