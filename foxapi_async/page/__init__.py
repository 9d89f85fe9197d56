"""A web page for making images: `foxapi serve`. Needs the extra `web`.

It keeps all requests in a folder with the form of a batch, so `foxapi status` and `foxapi report` can read it.
"""
