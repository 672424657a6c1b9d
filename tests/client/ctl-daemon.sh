#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vfiodctl and libvfiod against the real daemon on the mocked host of tests/bus/usual-host.h. Started by
# test-ctl-daemon, which keeps bus and daemon alive and says in BED where they are.
set -euo pipefail
