"""One conversation without its network: block clock, floor, epochs, what was heard."""
