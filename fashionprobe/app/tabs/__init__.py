"""The tabs of the page, one per file: what they show, and which part of `app` answers."""
