"""A page on which people make images: `foxapi serve`. Needs the extra `web`.

What is asked for is kept in a folder of the form that a batch has, so `foxapi status` and `foxapi report` read it.
"""
