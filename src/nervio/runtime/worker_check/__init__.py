"""`nervio worker-check`: the conformance test that any worker can be run against, in whatever language it is written.

Plays the master against one worker over a real broker and a real gRPC server, asks it for tasks of the kind `check`, and judges what
comes back by the published contract (`proto/`). Never touches a shop: it opens no database.
"""
