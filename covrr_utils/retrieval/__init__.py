"""From token states to vectors, from vectors to ranks, from ranks to recall."""
