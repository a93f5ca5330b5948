"""Other people's databases, a file each: how one is reached, asked in a session that cannot write, and what its errors mean.

Owns the drivers that `nervio.ports.sources` hides. Promises a fault that names the setting to be changed, whatever went wrong. Never
decides what is asked.
"""
