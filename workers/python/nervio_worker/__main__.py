"""`python -m nervio_worker` is the command `nervio-worker`."""

from nervio_worker.command import main

main()
