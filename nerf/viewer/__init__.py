"""The interactive viewer: frames of a run in a browser, coarse to fine, from any camera.

`frames` renders, `modes` and `drawing` make pictures, `views` compares with photos; none of these
knows a browser. `server` shows them with viser. The viewer's world is the normalised one, whose
size suits the browser's depth buffer and the 24 bits of its depth images; all numbers that a user
sees or saves are in the units and axes of the scene's file.
"""
