"""Archives of inquiries scored again: a line in, a line out, in one process or spread over a cluster.

`archives` reads files in chunks of lines, `lines` scores a chunk, `cluster` has a Dask cluster do so. Nothing here
stores, routes or counts anything.
"""
