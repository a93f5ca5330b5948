"""Every query of the fleet: tasks and attempts (`tasks`), sums (`usage`), workers and their speeds (`workers`)."""
