"""The agent's whole world, asked about in closed loop: is what it says right, and how soon is it said?"""
