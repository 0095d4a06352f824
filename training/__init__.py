"""Training of the networks on photographs with label maps: data, simulated clicks, rounds, loss, loop."""
