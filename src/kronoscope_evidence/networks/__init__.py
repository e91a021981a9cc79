"""Studies of networks: which architecture, size and training time buy how many nats."""
