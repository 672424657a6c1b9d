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
for i in range(min(4, (n + 1) // 2)):
    assert "dmar%d" % i in words, i
assert words.count("reset") == len(range(2, max(n - 1, 2), 20)), words.count("reset")
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

# no two devices, leases or resets on one another, and every text inside its box
boxes = []
for g in svg.iter(ns + "g"):
    if g.get("class") != "node":
        continue
    shape = next(e for e in g if e.tag in (ns + "polygon", ns + "ellipse"))
    if shape.tag == ns + "polygon":
        points = [tuple(map(float, p.split(","))) for p in shape.get("points").split()]
        x, y = [p[0] for p in points], [p[1] for p in points]
        box = (min(x), min(y), max(x), max(y))
    else:
        cx, cy, rx, ry = (float(shape.get(k)) for k in ("cx", "cy", "rx", "ry"))
        box = (cx - rx, cy - ry, cx + rx, cy + ry)
    for t in g.iter(ns + "text"):
        assert box[0] <= float(t.get("x")) <= box[2] and box[1] <= float(t.get("y")) <= box[3] + 1
    boxes.append((box, g.find(ns + "title").text))
assert len(boxes) >= n
boxes.sort()
for i, (a, name) in enumerate(boxes):
    for b, other in boxes[i + 1:]:
        if b[0] >= a[2]:
            break
        assert a[1] >= b[3] or b[1] >= a[3], (name, other)
PY
done
echo "all good"
