"""The browser application: the page, what stands behind each of its tabs, and the rules of its server."""
