"""Report of a comparison: one HTML page with its numbers, pictures and videos inside.

The page needs no network. `page.html.j2`, `style.css` and `script.js` are the page; the modules
here fill it.
"""
