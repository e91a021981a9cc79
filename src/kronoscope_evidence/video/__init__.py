"""Studies on video: what a network knows of an object that moves."""
