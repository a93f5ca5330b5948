"""The fleet over HTTP: tasks, answers while they are made (`stream`), workers and figures."""
