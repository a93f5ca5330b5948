"""AI work: tasks that are queued durably, handed to workers that can take them, and answered once.

Owns tasks, their attempts, the workers' state and what each tenant used. Promises that a task which was accepted is never
lost, that exactly one result of it is, and that no tenant and no priority starves. It runs a task at least once: a worker
that died in the middle has done some of it. Never speaks to a provider or a broker itself: that is behind ports.
"""
