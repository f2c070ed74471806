"""Python's UTF-8 mode, in every locale: git, BuildKit and registries have all text and file names in UTF-8."""

from __future__ import annotations

import io
import locale
import os
import sys


def enter_utf8_mode() -> None:
    """Run this program again in the UTF-8 mode (PEP 540), unless file names are UTF-8 already; it cannot be entered
    later. A terminal is written to in the locale's encoding."""
    if "utf8" in sys._xoptions:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.isatty():
                stream.reconfigure(encoding=locale.getencoding())
    elif sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
