"""The report of a comparison: one HTML page with its numbers, pictures and videos inside, readable without a network.

`page.html.j2`, `style.css` and `script.js` are the page; the modules here fill it.
"""
