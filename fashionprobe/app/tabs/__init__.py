"""The tabs of the page, one a file: what they show, and which part of `app` answers."""
