"""Every query of safety, one file a concern: the halt rows, whose table belongs to the fence (`halts`), external actions (`actions`), `alerts`."""
