"""Studies on video: the motion that a network learnt."""
