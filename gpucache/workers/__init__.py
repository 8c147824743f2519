"""Who runs it: warm worker processes, the messages between them and the driver, and the code that is shipped to them."""

from __future__ import annotations
