"""Small protocols between the rules and the world. Each has two implementations that ship, the clock excepted."""
