"""Studies of learners: how far from the truth n sequences leave each, along one axis a study."""
